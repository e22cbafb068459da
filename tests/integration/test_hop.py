"""The hop at work: who may start first, limits, what travels along, and where a VACANCY_URL may lead."""

import json
import resource
import signal
import socket
import threading

import pytest

import hop_proxy as faults
from durability import Buyers, Ledger, order
from harness import (AVAILABLE, LONG, MICROSERVICES, PURCHASE, RESERVE, SLOW, Load, assert_problem,
                     eventually, free_port, has_ipv6, request_bytes, stays)
from hop import KEY, NOTHING, SOLD, STOCK, audit, outcome

pytestmark = pytest.mark.skipif(not MICROSERVICES, reason="there is one process between client and stock")

ONE = request_bytes("POST", PURCHASE, {"qty": 1})
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def purchases_in(batch):
    return json.loads(batch.body)["requests"]


# ---------------------------------------------------------------- beginnings and ends


# The ticket pool may be first: it lives, says that it cannot sell yet, and sells when the other is there.
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_ticket_first(start, tmp_path, host):
    ledger, port = Ledger(tmp_path), free_port()
    ticket = start(SERVICES="ticket", VACANCY_URL=f"http://{host}:{port}", VACANCY_TIMEOUT=0.5 * SLOW,
                   BREAKER_OPEN_SECONDS=0.1)
    assert ticket.ask("GET", "/health").status == 200
    assert ticket.ask("GET", "/ready").status == 503
    answer = ticket.ask("POST", PURCHASE, {"qty": 1}, {KEY: "early"})
    assert outcome(answer, True) == NOTHING and answer.json()["code"] == "vacancy_unavailable", answer
    assert_problem(order(ticket, "ffff0000-0001-8007-8000-000000000009"), 503, "vacancy_unavailable")
    vacancy = start(SERVICES="vacancy", VACANCY_PORT=port, LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    eventually(lambda: ticket.ask("GET", "/ready").status == 200, "ready")
    # the other worker may have found the vacancy pool away just before, and leave it alone for a moment
    eventually(lambda: outcome(ticket.ask("POST", PURCHASE, {"qty": 1}, {KEY: "early"}), True) == SOLD, "it is sold")
    assert vacancy.available() == STOCK - 1
    ledger.settled(1, STOCK)


# Two masters, one pool each: each serves what is its own and nothing else, and it is one stock.
def test_two_masters(start, tmp_path):
    ledger = Ledger(tmp_path)
    vacancy = start(SERVICES="vacancy", LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    ticket = start(SERVICES="ticket", VACANCY_URL=vacancy.vacancy_url)
    sold = ticket.ask("POST", PURCHASE, {"qty": 3})
    assert sold.json()["remaining"] == STOCK - 3
    assert vacancy.ask("POST", RESERVE, {"qty": 2}).json()["remaining"] == STOCK - 5
    assert order(ticket, sold.json()["order_id"]).json()["qty"] == 3
    with ticket.connect(PURCHASE) as client:
        for method, path in (("GET", AVAILABLE), ("POST", RESERVE), ("POST", faults.BATCH)):
            assert_problem(client.ask(method, path, {} if method == "POST" else None), 404, "not_found")
    with vacancy.connect() as client:
        assert_problem(client.ask("POST", PURCHASE, {"qty": 1}), 404, "not_found")
        assert client.ask("GET", "/ready").json()["service"] == "vacancy"
    assert ticket.ask("GET", "/ready").json()["service"] == "ticket"
    ledger.settled(5, STOCK)
    assert audit(ledger)["agrees"]


# The vacancy pool is stopped and started again, several times, under clients that ask until they have
# their order: each ends with exactly one.
def test_vacancy_restarts_under_load(start, tmp_path):
    ledger = Ledger(tmp_path)
    vacancy = start(SERVICES="vacancy", LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    ports = vacancy.ports()
    ticket = start(SERVICES="ticket", VACANCY_URL=vacancy.vacancy_url, VACANCY_TIMEOUT=1 * SLOW,
                   BREAKER_OPEN_SECONDS=0.1)
    with Buyers(ticket, retry=True, paths=[PURCHASE]) as load:
        for _ in range(10 if LONG else 3):
            load.wait_orders(100)
            vacancy.stop()
            vacancy = start(SERVICES="vacancy", LEDGER_URL=ledger.url, **ports)
        load.wait_orders(100)
    assert not load.wrong and not load.lost, (load.wrong[:3], load.lost[:3])
    assert len(ledger.check(load)) == len(load.orders), "an order that nobody has"
    ledger.settled(len(load.orders), STOCK)
    assert audit(ledger)["agrees"]


# A reload of the vacancy pool costs a purchase nothing, not even one without a key.
def test_vacancy_reloads_under_load(start, tmp_path):
    vacancy = start(SERVICES="vacancy", LEDGER_URL=Ledger(tmp_path).url, INITIAL_STOCK=STOCK, DRAIN_IDLE_TIMEOUT=0)
    ticket = start(SERVICES="ticket", VACANCY_URL=vacancy.vacancy_url, VACANCY_TIMEOUT=30)
    with Load(ticket, connections=8, path=PURCHASE) as load:
        for _ in range(3):
            load.wait_answers(100)
            since = vacancy.mark()
            vacancy.send_signal(signal.SIGHUP)
            vacancy.wait_log("reload done", since)
        load.wait_answers(100)
    assert not load.failures, load.failures[:3]
    assert STOCK - vacancy.available() == load.sold == len(set(load.remaining))


# ---------------------------------------------------------------- limits


@pytest.fixture(name="files")
def many_files():
    """Room for a thousand connections in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(8192, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# A thousand clients at once share one connection, and not one of them meets an error.
def test_one_connection_for_a_thousand(hop, files):
    shop = hop(TICKET_WORKERS=1, HTTP_MAX_CONNECTIONS=1, HTTP_KEEPALIVE_CONNECTIONS=1, VACANCY_TIMEOUT=60)
    clients = [shop.server.connect(PURCHASE) for _ in range(1000)]
    try:
        for client in clients:
            client.send(ONE)
        answers = [client.answer() for client in clients]
    finally:
        for client in clients:
            client.close()
    assert all(outcome(answer, None) == SOLD for answer in answers)
    assert shop.proxy.open_most == 1
    assert len(shop.proxy.batches) < 1000 / 4, "each travelled alone"
    shop.check([answer.json()["order_id"] for answer in answers])


# Never more than HTTP_MAX_CONNECTIONS are open, and idle at most HTTP_KEEPALIVE_CONNECTIONS.
@pytest.mark.parametrize("most, kept", [(4, 1), (3, 0), (2, 2)])
def test_connections(hop, most, kept):
    shop = hop(TICKET_WORKERS=1, HTTP_MAX_CONNECTIONS=most, HTTP_KEEPALIVE_CONNECTIONS=kept, BATCH_MAX=1,
               VACANCY_TIMEOUT=60)
    shop.proxy.fault = faults.delays(0.01)
    with Load(shop.server, connections=30, path=PURCHASE) as load:
        load.wait_answers(300)
        if kept < most:
            # beyond these a request asks for its connection to be closed
            assert any(batch.closes for batch in shop.proxy.batches)
    assert not load.failures, load.failures[:3]
    assert shop.proxy.open_most == most
    eventually(lambda: shop.proxy.open <= kept, "the connections beyond those that are kept are closed")
    stays(lambda: shop.proxy.idle <= kept, "no more are kept", 0.3)
    assert shop.server.available() == STOCK - load.sold
    if kept:
        accepted = shop.proxy.accepted
        shop.proxy.fault = faults.passes
        for _ in range(5):
            assert shop.buy().status == 200
        assert shop.proxy.accepted == accepted, "a kept connection is used again"


# HTTP_QUEUE_MAX purchases wait; the next is refused at once with Retry-After, and those that wait are sold.
def test_queue_is_full(hop):
    shop = hop(TICKET_WORKERS=1, HTTP_MAX_CONNECTIONS=1, HTTP_KEEPALIVE_CONNECTIONS=1, BATCH_MAX=1, HTTP_QUEUE_MAX=4,
               VACANCY_TIMEOUT=60)
    gate = threading.Event()
    shop.proxy.fault = faults.held(gate)
    clients = [shop.server.connect(PURCHASE) for _ in range(20)]
    try:
        clients[0].send(ONE)
        eventually(lambda: shop.proxy.batches, "the first is under way")
        for client in clients[1:]:
            client.send(ONE)
        refused = []

        def all_refused():
            for client in clients:
                if client not in refused and not client.silent(0):
                    answer = client.answer()
                    assert_problem(answer, 503, "overloaded")
                    assert outcome(answer, None) == NOTHING
                    refused.append(client)
            return len(refused) == 15

        eventually(all_refused, "all but one that travels and four that wait are refused")
        stays(lambda: all_refused(), "the others wait", 0.3)
        gate.set()
        orders = [client.answer().json()["order_id"] for client in clients if client not in refused]
    finally:
        gate.set()
        for client in clients:
            client.close()
    shop.check(orders)


# What comes while a request is under way travels together in the next one, and a lone purchase waits
# for nobody.
@pytest.mark.parametrize("most", [128, 40])
def test_coalescing(hop, most):
    shop = hop(TICKET_WORKERS=1, HTTP_MAX_CONNECTIONS=1, HTTP_KEEPALIVE_CONNECTIONS=1, BATCH_MAX=most, VACANCY_TIMEOUT=60)
    first = shop.buy()
    assert [len(purchases_in(batch)) for batch in shop.proxy.batches] == [1]
    gate = threading.Event()
    shop.proxy.next_faults.append(faults.held(gate))
    clients = [shop.server.connect(PURCHASE) for _ in range(101)]
    try:
        clients[0].send(ONE)
        eventually(lambda: len(shop.proxy.batches) == 2, "the first of them is under way")
        for client in clients[1:]:
            client.send(ONE)
        # each of the hundred has been read when this one, the last, is answered
        with shop.server.connect(PURCHASE) as last:
            assert last.ask("GET", "/health").status == 200
        gate.set()
        answers = [client.answer() for client in clients]
    finally:
        gate.set()
        for client in clients:
            client.close()
    sizes = [len(purchases_in(batch)) for batch in shop.proxy.batches]
    assert sizes[:2] == [1, 1] and sum(sizes) == 102 and max(sizes) <= most, sizes
    # some may have come after the gate was opened
    assert len(sizes) <= 2 + -(-100 // most) + 3, sizes
    assert max(sizes) >= min(most, 40), sizes
    shop.check([answer.json()["order_id"] for answer in [first, *answers]])


# ---------------------------------------------------------------- what travels along


# One purchase has one request id and one trace in the logs of both pools.
def test_ids_in_both_logs(hop):
    shop = hop(ACCESS_LOG="true")
    answer = shop.buy(headers=[("X-Request-ID", "follow-me"), ("traceparent", TRACE)])
    assert answer["X-Request-ID"] == "follow-me"
    lines = shop.server.wait_log(lambda entry: entry.get("request_id") == "follow-me", count=2)
    pools = {pool: set(shop.server.workers(pool)) for pool in ("vacancy", "ticket")}
    for pool, pids in pools.items():
        (line,) = [line for line in lines if line["pid"] in pids]
        assert TRACE in json.dumps(line), (pool, line)
    # an id that the ticket pool made itself travels as well
    made = shop.buy()["X-Request-ID"]
    lines = shop.server.wait_log(lambda entry: entry.get("request_id") == made, count=2)
    assert {pool for pool, pids in pools.items() for line in lines if line["pid"] in pids} == {"vacancy", "ticket"}


# A malformed trace is nobody's, and is not handed on.
@pytest.mark.parametrize("value", ["", "00-0-0-0", TRACE.upper(), TRACE + "x", "00" + TRACE[2:].replace("4", "0"),
                                   TRACE[:-3] + '"}]'])
def test_malformed_trace(hop, value):
    shop = hop()
    assert shop.buy(headers=[("traceparent", value)]).status == 200
    (batch,) = shop.proxy.batches
    (purchase,) = purchases_in(batch)
    if value == "00" + TRACE[2:].replace("4", "0"):
        assert purchase["traceparent"] == value, "this one is well-formed"
    else:
        assert not purchase.get("traceparent"), purchase


# The client's key travels as it is; without one each purchase gets one of its own.
def test_keys_travel(hop):
    shop = hop(TICKET_WORKERS=1)
    for key in ("plain", r'"a\"b\\c"', None, None):
        assert shop.buy(key).status == 200
    keys = [purchases_in(batch)[0]["idempotency_key"] for batch in shop.proxy.batches]
    assert keys[:2] == ["plain", 'a"b\\c']
    assert keys[2] != keys[3] and all(len(key) > 20 for key in keys[2:]), keys


# A key is one sale, whichever pool it is brought to.
def test_keys_are_shared(hop):
    shop = hop()
    here = shop.server.ask("POST", RESERVE, {"qty": 2}, {KEY: "one"}).json()
    there = shop.buy("one", 2)
    assert there["Idempotent-Replayed"] == "true"
    assert [there.json()[name] for name in ("order_id", "remaining")] == [here[name] for name in ("order_id", "remaining")]
    assert_problem(shop.buy("one", 3), 422, "idempotency_key_reused")
    first = shop.buy("two")
    again = shop.server.ask("POST", RESERVE, {"qty": 1}, {KEY: "two"})
    assert again["Idempotent-Replayed"] == "true" and again.json()["order_id"] == first.json()["order_id"]
    shop.ledger.settled(3, STOCK)


# Orders are the vacancy pool's, and the ticket pool tells of them the same.
def test_orders_are_forwarded(hop):
    shop = hop(VACANCY_TIMEOUT=0.5 * SLOW, BREAKER_OPEN_SECONDS=0.1)
    order_id = shop.buy(qty=3).json()["order_id"]
    forwarded = order(shop.server, order_id)
    with shop.server.connect() as client:
        direct = client.ask("GET", f"/api/v1/orders/{order_id}")
    assert forwarded.status == direct.status == 200
    assert forwarded.json() == direct.json() and forwarded.json()["qty"] == 3
    assert_problem(order(shop.server, "ffff0000-0001-8007-8000-000000000009"), 404, "order_not_found")
    shop.proxy.refuse()
    assert_problem(order(shop.server, order_id), 503, "vacancy_unavailable")
    shop.proxy.listen_again()
    eventually(lambda: order(shop.server, order_id).status == 200, "it is found again")


# Sold out is told through the hop like anything else, and restocked tickets are sold.
def test_sold_out(hop):
    shop = hop(INITIAL_STOCK=2)
    assert shop.buy(qty=2).json()["remaining"] == 0
    said = shop.buy()
    assert (said.status, said.json()) == (200, {"success": False, "remaining": 0, "message": "Insufficient inventory"})
    assert shop.ledger.add_stock(1) == 1
    assert shop.buy().json()["success"] is True


# ---------------------------------------------------------------- VACANCY_URL


def is_local_name_of(host):
    return host in {found[4][0] for found in socket.getaddrinfo("localhost", None)}


# Every form of a VACANCY_URL leads there.
@pytest.mark.parametrize("listen, url, base", [
    ("127.0.0.1", None, ""), ("127.0.0.1", "http://localhost:{port}", ""), ("::1", None, ""),
    ("::1", "http://localhost:{port}", ""), ("unix:", None, ""), ("127.0.0.1", None, "/shop/stock"),
    ("127.0.0.1", "http://localhost:{port}/shop/", "/shop")],
    ids=["IPv4", "name", "IPv6", "name of IPv6", "unix", "base path", "name and base path"])
def test_vacancy_url(hop, tmp_path_factory, listen, url, base):
    if listen == "::1" and not (has_ipv6() and (url is None or is_local_name_of(listen))):
        pytest.skip("no IPv6 here, or localhost is no name of it")
    if listen == "unix:":
        listen += str(tmp_path_factory.mktemp("u") / "s")
    shop = hop(listen=listen, url=url, base=base)
    orders = []
    for _ in range(3):
        answer = shop.buy()
        assert outcome(answer, None) == SOLD
        orders.append(answer.json()["order_id"])
    assert order(shop.server, orders[0]).status == 200
    assert shop.server.ask("GET", "/ready").status == 200
    assert len(shop.proxy.batches) == 3
    shop.check(orders)


# Under one master the ticket pool finds the vacancy pool by itself, wherever that listens.
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::", "localhost"])
def test_found_by_itself(start, host):
    if ":" in host and not has_ipv6():
        pytest.skip("no IPv6 here")
    server = start(HOST=host)
    assert server.ask("POST", PURCHASE, {"qty": 1}).json()["remaining"] == 999999
    assert server.ask("GET", "/ready").status == 200
    server.stop()


# A client that leaves before its answer harms nobody, and its purchase is an order or none.
def test_clients_leave(hop):
    shop = hop(TICKET_WORKERS=1, VACANCY_TIMEOUT=30)
    gate = threading.Event()
    shop.proxy.next_faults.append(faults.held(gate))
    clients = [shop.server.connect(PURCHASE) for _ in range(20)]
    clients[0].send(ONE)
    eventually(lambda: shop.proxy.batches, "the first is under way")
    for client in clients[1:]:
        client.send(ONE)
    for client in clients:
        client.reset()
    gate.set()
    stayed = shop.buy()
    assert outcome(stayed, None) == SOLD

    def settled():
        event = shop.ledger.event()
        return event["sequence"] == event["published"]["sequence"]

    eventually(settled, "all is in the ledger")
    sales = shop.ledger.sales()
    assert 1 <= len(sales) <= 21 and stayed.json()["order_id"] in {row[0] for row in sales}
    shop.check([row[0] for row in sales])
