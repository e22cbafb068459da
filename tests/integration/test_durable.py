"""What was sold stays sold: over stops, kills of any process, of all of them, and a ledger that waits."""

import os
import random
import signal

import pytest

from durability import (RESTOCK, SALE, VOID, Buyers, Ledger, buy, keeper, locked, order, paused, paused_idle,
                        reader, ready, sigkill_tree, stuck)
from harness import (LONG, POOLS, PURCHASE, RESERVE, SELL_PATH, SLACK_S, SLOW, alive, assert_problem, eventually,
                     request_bytes, stays)
from surroundings import preload

STOCK = 100000
SELL = request_bytes("POST", SELL_PATH, {"qty": 1})


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


def assert_orders_are_known(server, orders):
    for order_id in orders:
        said = order(server, order_id).json()
        assert (said["order_id"], said["qty"], said["status"]) == (order_id, 1, "confirmed"), said


# ---------------------------------------------------------------- ends and beginnings


# A stop and a start: stock and orders are as they were, and INITIAL_STOCK changes nothing any more.
def test_stop_and_start(start, ledger):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    orders = [server.ask("POST", path, {"qty": qty}).json()["order_id"]
              for path in (RESERVE, PURCHASE) for qty in (1, 7)]
    server.stop()
    again = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK + 5)
    assert again.available() == STOCK - 16
    assert [order(again, order_id).json()["qty"] for order_id in orders] == [1, 7, 1, 7]
    assert again.ask("POST", RESERVE, {"qty": 1}).json()["remaining"] == STOCK - 17
    again.stop()
    assert [row[0] for row in ledger.sales()][:4] == orders
    assert ledger.count(RESTOCK) == 1


# A stop under load moves every sale that was answered into the ledger before the end, and no other.
def test_stop_under_load(start, ledger):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    with Buyers(server) as load:
        load.wait_answers(200)
        server.stop()
    sales = ledger.check(load)
    assert {row[0] for row in sales} == set(load.orders.values()), "a sale that nobody was told of"
    assert not load.wrong and not load.refused, (load.wrong[:3], load.refused)


# After a stop the ledger is one file, which may be copied alone, also where the reader held it open
# to the last: it hangs here, and is killed first.
def test_stop_leaves_no_log(start, ledger):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SHUTDOWN_TIMEOUT=4)
    order_id = server.ask("POST", RESERVE, {"qty": 3}).json()["order_id"]
    assert order(server, order_id).status == 200
    assert os.path.getsize(f"{ledger.path}-wal") > 0
    with paused(reader(server)):
        server.stop()
    server.wait_log(r"^the reader .* did not end in time; killing it")
    left = sorted(name for name in os.listdir(ledger.path.parent) if name.startswith(ledger.path.name))
    assert left == [ledger.path.name, f"{ledger.path.name}-lock"]


# The whole tree is killed under load, again and again: no order that somebody was told of is missing.
def test_kill_the_tree(start, ledger):
    loads = []
    for turn in range(20 if LONG else 6):
        server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
        with Buyers(server, name=f"turn{turn}") as load:
            load.wait_orders(150)
            sigkill_tree(server)
        loads.append(load)
        ledger.check(*loads)
    server = start(LEDGER_URL=ledger.url)
    sales = ledger.check(*loads)
    ledger.settled(len(sales), STOCK)
    assert_orders_are_known(server, random.Random(1).sample(sorted(loads[0].orders.values()), 50))
    assert not [load.wrong for load in loads if load.wrong]


# A restart in place refuses no connection, breaks no request, and loses and doubles nothing.
def test_restart_in_place_under_load(start, ledger):
    server = start(config={"CACHE_TTL_SECONDS": 7}, RELOAD="true", ENVIRONMENT="development", LEDGER_URL=ledger.url,
                   INITIAL_STOCK=STOCK)
    with Buyers(server) as load:
        for ttl in (8, 9):
            load.wait_answers(100)
            since = server.mark()
            server.write_config({"CACHE_TTL_SECONDS": ttl})
            server.wait_ready(since)
        load.wait_answers(100)
    assert (load.lost, load.refused, load.wrong) == ([], {}, [])
    assert len(ledger.check(load)) == len(load.orders)
    ledger.settled(len(load.orders), STOCK)


# ---------------------------------------------------------------- one process dies


# The keeper is killed under load: the worst that a client meets is a 503 that says that nothing was
# sold, and the next keeper goes on where the dead one was.
def test_kill_the_keeper(start, ledger):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SALE_TIMEOUT=20)
    with Buyers(server) as load:
        for _ in range(100 if LONG else 6):
            load.wait_orders(50)
            victim = keeper(server)
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: not alive(victim), "its death")
        load.wait_orders(50)
    assert not load.wrong and not load.lost, (load.wrong[:3], load.lost[:3])
    sales = ledger.check(load)
    assert len(sales) == len(load.orders)
    ledger.settled(len(sales), STOCK)


# The reader is killed: orders are found again, and sales notice nothing.
def test_kill_the_reader(start, ledger):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    with Buyers(server, connections=4) as load:
        for _ in range(3):
            load.wait_orders(20)
            victim = reader(server)
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: not alive(victim), "its death")
            known = sorted(load.orders.values())[:5]
            eventually(lambda: all(order(server, order_id).status == 200 for order_id in known), "the orders are found")
    assert (load.lost, load.refused, load.wrong) == ([], {}, [])
    assert len(ledger.check(load)) == len(load.orders)


# Workers are killed under load: what they took and told nobody of comes back, or is an order.
def test_kill_workers(start, ledger):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, WORKERS=3)
    rng = random.Random(5)
    with Buyers(server, connections=12) as load:
        for _ in range(6):
            load.wait_orders(50)
            victim = rng.choice(sorted(pid for pool in POOLS for pid in server.workers(pool)))
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: not alive(victim), "its death")
        load.wait_orders(50)
    sales = ledger.check(load)
    assert len(load.orders) <= len(sales) <= len(load.orders) + len(load.lost)
    ledger.settled(len(sales), STOCK)
    assert not load.wrong, load.wrong[:3]


# ---------------------------------------------------------------- a ledger that waits


# The answer comes after its entry is in the ledger, and not before.
@pytest.mark.parametrize("path", [RESERVE, PURCHASE])
def test_answer_waits_for_the_ledger(start, ledger, path):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SALE_TIMEOUT=30)
    with server.connect(path) as client:
        assert buy(client, path=path).status == 200
        with paused(keeper(server)):
            client.send(request_bytes("POST", path, {"qty": 1}))
            assert client.silent(0.5), "an answer without the keeper"
            assert ledger.count(SALE) == 1
            assert server.available() == STOCK - 2, "the tickets are taken meanwhile"
        answer = client.answer()
    assert answer.json()["success"] is True
    assert ledger.sales()[1][0] == answer.json()["order_id"]


# A keeper that stands still past SALE_TIMEOUT: 503, the tickets come back, and then it sells again.
def test_sale_timeout(start, quick_path):
    ledger = Ledger(quick_path)
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=10, SALE_TIMEOUT=0.5)
    clients = [server.connect(SELL_PATH) for _ in range(6)]
    try:
        assert buy(clients[0]).status == 200
        with paused(keeper(server)):
            for client in clients:
                client.send(SELL)
            for client in clients:
                problem = assert_problem(client.answer(), 503, "overloaded")
                assert "nothing was sold" in problem["detail"]
            assert server.available() == 3, "withdrawn tickets come back through the ledger"
        eventually(lambda: server.available() == 9, "the tickets are back")
        ledger.settled(1, 10)
        assert ledger.count(VOID) == 6
        said = buy(clients[0], qty=9).json()
        assert (said["success"], said["remaining"]) == (True, 0), said
    finally:
        for client in clients:
            client.close()
    ledger.settled(10, 10)


# A keeper that hangs is replaced, and its successor answers who waited.
def test_hanging_keeper_is_replaced(start, ledger):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SALE_TIMEOUT=60)
    victim = keeper(server)
    with server.connect(SELL_PATH) as client, paused_idle(victim):
        client.send(SELL)
        server.wait_log(rf"keeper \(pid {victim}\) hangs")
        assert client.answer().json()["success"] is True
    assert keeper(server) != victim
    eventually(lambda: ready(server) == 200, "ready again")
    ledger.settled(1, STOCK)


# So is one that hangs before its first turn, just after it has said that it runs.
def test_keeper_hangs_at_once(start, ledger, tmp_path):
    hang = tmp_path / "hang"
    hang.touch()
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SALE_TIMEOUT=60,
                   **preload(tmp_path, "start", TEST_BELL_HANGS=hang, TEST_START_ONLY="keeper"))
    eventually(lambda: not hang.exists(), "it hangs")
    victim = keeper(server)
    with server.connect(SELL_PATH) as client:
        client.send(SELL)
        server.wait_log(rf"keeper \(pid {victim}\) hangs")
        assert client.answer().json()["success"] is True
    ledger.settled(1, STOCK)


# A ledger that cannot be written: not ready, nothing is sold, and it says so; then all goes on.
def test_ready_and_a_ledger_at_fault(start, ledger):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SALE_TIMEOUT=60)
    with server.connect(SELL_PATH) as client, server.connect(SELL_PATH) as other:
        assert ready(server) == 200
        with locked(ledger):
            client.send(SELL)
            (line,) = server.wait_log("selling stops")
            assert line["level"] == "ERROR" and str(ledger.path) in line["message"], line
            assert ready(server) == 503
            assert server.ask("GET", "/health").status == 200
            assert_problem(buy(other), 503, "ledger_unavailable")
            assert ledger.count(SALE) == 0
        assert client.answer().json()["success"] is True
        eventually(lambda: ready(server) == 200, "ready again")
        assert buy(other).json()["success"] is True
    assert len([entry for entry in server.log if entry["level"] == "ERROR"]) == 1
    ledger.settled(2, STOCK)


# A disk on which the keeper waits for long makes the server unready, and nobody kills the keeper.
def test_ready_and_a_slow_ledger(start, ledger):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SALE_TIMEOUT=60)
    victim = keeper(server)
    with server.connect(SELL_PATH) as client, stuck(server, ledger, lambda: client.send(SELL)):
        stays(lambda: ready(server) == 200, "ready", 2)
        eventually(lambda: ready(server) == 503, "unready after five seconds", 5 + SLACK_S)
        stays(lambda: alive(victim) and keeper(server) == victim, "the keeper is left alone", 2 * SLOW, step_s=0.1)
        assert client.silent(0)
        os.kill(victim, signal.SIGCONT)
        assert client.answer().json()["success"] is True
        eventually(lambda: ready(server) == 200, "ready again")
    ledger.settled(1, STOCK)
