"""GET /metrics: what is counted is exact over all processes, whoever dies or is replaced meanwhile."""

import gzip
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from durability import RESTOCK, SALE, Buyers, Ledger, keeper, paused, reader
from harness import (AVAILABLE, MICROSERVICES, POOLS, PURCHASE, RESERVE, SELL_PATH, STOCK_POOL, alive, alone, assert_problem,
                     eventually)
from streams import Stream

ROOT = Path(__file__).resolve().parents[2]
PROMTOOL = ROOT / "build-tools" / "promtool"
METRICS = "/metrics"
REQUESTS = "http_server_request_duration_seconds"
LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')


def table():
    """name → type of every family of the table."""
    rows = re.findall(r'^METRIC\(\w+, "(\w+)", (\w+),', (ROOT / "src/metrics/metrics.def").read_text(), re.MULTILINE)
    assert len(rows) > 30, "the table of metrics is no longer read correctly"
    return dict(rows)


class Scrape:
    """What one answer says: value of a name and labels; labels that are not asked for may have any value."""

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if not line.startswith("#"):
                name, labels, value = LINE.fullmatch(line).groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def sum(self, name, **labels):
        return sum(value for found, has, value in self.samples
                   if found == name and all(has.get(key) == wanted for key, wanted in labels.items()))

    def answers(self, **labels):
        return self.sum(REQUESTS + "_count", **labels)

    def of(self, path, status, method="POST", pool=None):
        """Answers of that kind; None: by any path, in any pool."""
        labels = {"http_route": path, "http_response_status_code": str(status), "http_request_method": method, "pool": pool}
        return self.answers(**{name: value for name, value in labels.items() if value is not None})

    def counters(self):
        """Everything that must never fall."""
        counting = re.compile(r".*_(total|count|sum|bucket)$")
        return {(name, tuple(has.items())): value for name, has, value in self.samples if counting.match(name)}


def scrape(server, path=AVAILABLE):
    """By the pool that serves `path`: by default the one that owns the stock, which knows of all."""
    with server.connect(path) as client:
        answer = client.ask("GET", METRICS)
    assert answer.status == 200, answer
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(answer.body.decode())


def settled(server, ledger):
    """A look when all that was sold is in the ledger."""
    eventually(lambda: ledger.event()["sequence"] == ledger.event()["published"]["sequence"], "all is in the ledger")
    return scrape(server)


def kill_and_wait(server, pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(map(alive, pids)), "their deaths")


def never_fell(before, after):
    fallen = {key: (value, after.counters().get(key)) for key, value in before.counters().items()
              if after.counters().get(key, -1) < value}
    assert not fallen, fallen


def asked(server, count):
    """Known requests, each on a connection of its own, so that all workers have some: what they must
    count as, by path, method and status."""
    for i in range(count):
        assert server.ask("POST", SELL_PATH, {"qty": 2}, {"Idempotency-Key": f"k{i}"}).json()["success"]
    for i in range(3):
        assert server.ask("POST", SELL_PATH, {"qty": 2}, {"Idempotency-Key": f"k{i}"})["Idempotent-Replayed"] == "true"
    assert not server.ask("POST", SELL_PATH, {"qty": 1000000}).json()["success"]
    assert server.ask("POST", SELL_PATH, {"qty": 0}).status == 422
    assert server.ask("POST", SELL_PATH, b"no").status == 400
    assert server.ask("PUT", SELL_PATH).status == 405
    assert server.ask("HEAD", "/health").status == 200
    assert server.ask("GET", "/what/my?client=sends").status == 404
    # who finds that out, and whether by then the path is known, depends on what else the pool serves
    assert server.ask("POST", SELL_PATH, b"x" * 17000).status == 413
    return {(SELL_PATH, "POST", 200): count + 4, (SELL_PATH, "POST", 422): 1, (SELL_PATH, "POST", 400): 1,
            (SELL_PATH, "_OTHER", 405): 1, ("/health", "HEAD", 200): 1, ("", "GET", 404): 1, (None, "POST", 413): 1}


def expect_requests(seen, wanted, times=1):
    for (path, method, status), count in wanted.items():
        assert seen.of(path, status, method, pool=POOLS[-1]) == times * count, (path, method, status)


def expect_sales(seen, orders, replays, sold_outs):
    assert seen.sum("ticketd_orders_total", event="default") == orders
    assert seen.sum("ticketd_tickets_sold_total", event="default") == 2 * orders
    for pool in POOLS:
        assert seen.sum("ticketd_sales_total", event="default", pool=pool) == orders, pool
        assert seen.sum("ticketd_replays_total", event="default", pool=pool) == replays, pool
        assert seen.sum("ticketd_sold_outs_total", event="default", pool=pool) == sold_outs, pool


# Streams that are open are told while they are, over all workers.
def test_streams(start):
    server = start(WORKERS=2)

    def told():
        return scrape(server).sum("ticketd_streams", pool=STOCK_POOL)
    with Stream(server), Stream(server), Stream(server):
        eventually(lambda: told() == 3, "three streams are told")
    eventually(lambda: told() == 0, "their end is told")


# After a known set of requests every counter is exact over all workers; so it is after all workers,
# the keeper and the reader were killed, and after a reload; and nothing has fallen.
def test_exact(start, tmp_path):
    ledger = Ledger(tmp_path)
    server = start(WORKERS=3, LEDGER_URL=ledger.url, INITIAL_STOCK=1000)
    wanted = asked(server, 20)
    first = settled(server, ledger)
    expect_requests(first, wanted)
    expect_sales(first, 20, 3, 1)
    assert first.sum("ticketd_stock_available") == 960 and first.sum("ticketd_stock_capacity") == 1000

    workers = {pool: list(server.wait_workers(3, pool=pool)) for pool in POOLS}
    kill_and_wait(server, sum(workers.values(), []) + [keeper(server), reader(server)])
    for pool in POOLS:
        server.wait_workers(3, pool=pool, without=workers[pool])
    keeper(server), reader(server)
    second = settled(server, ledger)
    never_fell(first, second)
    expect_requests(second, wanted)
    expect_sales(second, 20, 3, 1)
    for pool in POOLS:
        assert second.sum("ticketd_process_deaths_total", process="worker", pool=pool) == 3
        assert second.sum("ticketd_process_starts_total", process="worker", pool=pool) == 6
    assert second.sum("ticketd_process_deaths_total", process="keeper") == 1
    assert second.sum("ticketd_process_deaths_total", process="reader") == 1

    since = server.mark()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", since)
    ledger.add_stock(500)
    third = settled(server, ledger)
    never_fell(second, third)
    expect_sales(third, 20, 3, 1)
    assert third.sum("ticketd_reloads_total", result="done") == 1
    assert third.sum("ticketd_restocks_total") == 1 and third.sum("ticketd_stock_capacity") == 1500
    assert ledger.count(SALE) == 20 and ledger.count(RESTOCK) == 2


# It is one answer, whichever worker gives it: all that is counted is the same, but for the asking.
def test_one_answer(start):
    server = start(WORKERS=3)
    for _ in range(12):
        assert server.ask("POST", SELL_PATH, {"qty": 1}).status == 200
    first = [scrape(server) for _ in range(9)][0]
    for _ in range(9):
        again = scrape(server)
        assert again.of(SELL_PATH, 200) == 12 and again.sum("ticketd_sales_total", pool=STOCK_POOL) == 12
    never_fell(first, again)
    assert again.of(METRICS, 200, "GET") == 17


# Sales are those of the ledger, and the orders, when workers and the keeper were killed while
# buyers bought; whoever was killed before it counted has not answered either.
def test_storm(start, tmp_path):
    ledger = Ledger(tmp_path)
    server = start(WORKERS=2, LEDGER_URL=ledger.url, INITIAL_STOCK=1000000)
    last = scrape(server)
    with Buyers(server, connections=8, retry=True) as load:
        for i in range(8):
            load.wait_orders(40)
            pool = POOLS[i % len(POOLS)]
            victim = keeper(server) if i % 2 else eventually(lambda: min(server.workers(pool), default=None), "a worker")
            kill_and_wait(server, [victim])
        load.wait_orders(40)
    assert not load.wrong, load.wrong[:3]
    sales = ledger.check(load)
    ledger.settled(len(sales), 1000000)
    seen = settled(server, ledger)
    never_fell(last, seen)
    assert seen.sum("ticketd_orders_total") == len(sales) == len(load.orders)
    assert seen.sum("ticketd_tickets_sold_total") == len(sales)
    for kind, name in ((2, "duplicates"), (3, "voids"), (4, "returns")):
        assert seen.sum(f"ticketd_{name}_total") == ledger.count(kind), name
    # every order was told of by some worker that owns the stock, as a sale or as a replay
    told = seen.sum("ticketd_sales_total", pool=STOCK_POOL) + seen.sum("ticketd_replays_total", pool=STOCK_POOL)
    assert told >= len(sales)
    # and without deaths all three are the same
    with Buyers(server, connections=8, each=50, name="q") as calm:
        calm.join()
    assert not calm.wrong and len(calm.orders) == 400
    after = settled(server, ledger)
    assert after.sum("ticketd_orders_total") - seen.sum("ticketd_orders_total") == 400
    assert after.sum("ticketd_sales_total", pool=STOCK_POOL) - seen.sum("ticketd_sales_total", pool=STOCK_POOL) == 400
    assert len(ledger.sales()) == len(sales) + 400


# Every family of the table is told by the pool that owns the stock, and no other; those of the way
# between the pools where there is one.  A ticket worker leaves out what only the stock knows.
def test_families(server):
    assert server.ask("POST", SELL_PATH, {"qty": 1}).status == 200
    seen = scrape(server)
    told = dict(re.findall(r"^# TYPE (\w+) (\w+)$", seen.text, re.MULTILINE))
    wanted = {name: kind.lower() for name, kind in table().items() if MICROSERVICES or "_client_" not in name}
    assert told == wanted
    if MICROSERVICES:
        of_ticket = scrape(server, PURCHASE).text
        assert "# TYPE ticketd_orders_total" in of_ticket and "ticketd_stock" not in of_ticket


# Prometheus's own tool has nothing to say against it.
def test_promtool(server):
    if not PROMTOOL.exists():
        pytest.skip("promtool is not here (tools/install-dependencies test)")
    assert server.ask("POST", SELL_PATH, {"qty": 1}).status == 200
    assert server.ask("GET", "/nowhere").status == 404
    told = subprocess.run([PROMTOOL, "check", "metrics"], input=scrape(server).text.encode(), capture_output=True,
                          timeout=60, check=False)
    assert told.returncode == 0 and not told.stdout and not told.stderr, told


# What a client sends is nobody's label, and makes no line.
def test_no_client_labels(server):
    lines = len(scrape(server).samples)
    for i in range(20):
        assert server.ask("GET", f"/my-own/{i}?secret={i}").status == 404
        assert server.ask("GET", f"/api/v1/orders/{i}").status == 404
        server.ask("BREW", "/health")
    seen = scrape(server)
    assert not re.search(r"my-own|secret|orders/\d|BREW", seen.text)
    assert seen.of("", 404, "GET") >= 20 and seen.of("/api/v1/orders/{id}", 404, "GET") >= 20
    # three kinds of answers at most are new
    assert len(seen.samples) <= lines + 3 * 20


# It is compressed for who wants that, and HEAD, OPTIONS and other methods are as on every path.
def test_as_other_paths(server):
    answer = server.ask("GET", METRICS, headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    plain = gzip.decompress(answer.body).decode()
    assert "ticketd_build_info" in plain and len(answer.body) < len(plain) / 4
    assert server.ask("HEAD", METRICS).status == 200
    assert_problem(server.ask("POST", METRICS, {}), 405, "method_not_allowed")


# METRICS=false takes it from the public site, at a reload too; the control site has it anyway.
def test_switched_off(start, tmp_path):
    ledger = Ledger(tmp_path)
    config = {"WORKERS": 1, "METRICS": "false", "LEDGER_URL": ledger.url}
    server = alone(start)(config=config)

    def public():
        with server.connect(AVAILABLE) as client:
            status = client.ask("GET", METRICS).status
            paths = [endpoint["path"] for endpoint in client.ask("GET", "/").json()["endpoints"]]
            return status, METRICS in paths

    assert public() == (404, False)
    assert Scrape(ledger.control("GET", METRICS).body.decode()).sum("ticketd_ready") == 1
    since = server.mark()
    server.write_config({**config, "METRICS": "true"})
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", since)
    assert public() == (200, True)


# Gauges are what is now: connections, workers, sales that wait for a keeper that stands still, and
# how far that is behind.
def test_gauges(start):
    server = alone(start)(WORKERS=2, SALE_TIMEOUT=60)
    idle = [server.connect() for _ in range(6)]
    for client in idle:
        assert client.ask("GET", AVAILABLE).status == 200
    seen = scrape(server)
    assert seen.sum("ticketd_connections", pool=STOCK_POOL) == 7
    assert seen.sum("ticketd_workers", state="serving") == 2
    assert seen.sum("ticketd_keeper_state", state="running") == 1 == seen.sum("ticketd_ready")
    with paused(keeper(server)):
        for client in idle:
            client.send(b'POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"qty":1}' % RESERVE.encode())
        eventually(lambda: scrape(server).sum("ticketd_parked_requests") == 6, "all wait")
        assert scrape(server).sum("ticketd_keeper_lag_entries") == 6
    for client in idle:
        assert client.answer().json()["success"]
        client.close()
    eventually(lambda: scrape(server).sum("ticketd_connections") == 1, "all have left")
    assert scrape(server).sum("ticketd_parked_requests") == 0 == scrape(server).sum("ticketd_keeper_lag_entries")


# The way between the pools: calls as they ended, requests, batches, connections, retries, and a
# breaker that opens.
@pytest.mark.skipif(not MICROSERVICES, reason="there is no way between pools")
def test_client(start):
    server = start(WORKERS=1, VACANCY_TIMEOUT=0.5, BREAKER_FAILURES=2, BREAKER_OPEN_SECONDS=60)
    for _ in range(10):
        assert server.ask("POST", PURCHASE, {"qty": 1}).json()["success"]
    eventually(lambda: scrape(server, PURCHASE).sum("ticketd_client_connections", state="idle") == 1, "one idles")
    seen = scrape(server, PURCHASE)
    assert seen.sum("ticketd_client_calls_total", result="done") == 10
    assert seen.sum("ticketd_client_batch_purchases_sum") == 10
    assert seen.sum("ticketd_client_requests_total", result="replied") == seen.sum("ticketd_client_batch_purchases_count") == 10
    assert seen.sum("ticketd_client_addresses", state="closed") == 1
    (vacancy,) = server.wait_workers(1)
    with paused(vacancy):
        for _ in range(2):
            assert server.ask("POST", PURCHASE, {"qty": 1}).status == 503
        eventually(lambda: scrape(server, PURCHASE).sum("ticketd_client_addresses", state="open") == 1, "it is left alone")
        seen = scrape(server, PURCHASE)
    assert seen.sum("ticketd_client_breaker_openings_total") == 1
    assert seen.sum("ticketd_client_requests_total", result="broken") >= 2
    assert seen.sum("ticketd_client_retries_total") >= 1
    assert seen.sum("ticketd_client_calls_total") == 12
    assert seen.sum("ticketd_refusals_total", pool="ticket") == 2
