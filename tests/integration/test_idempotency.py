"""Idempotency-Key: one key, one sale, whatever is asked again, by whom, when, and after which death."""

import os
import signal
import time

import pytest

from durability import Buyers, Ledger, buy, keeper, order, paused, sigkill_tree, stuck
from harness import PURCHASE, RESERVE, SELL_PATH, SELL_PATHS, alive, assert_problem, eventually, request_bytes
from surroundings import preload

STOCK = 1000
REPLAYED = "Idempotent-Replayed"
KEY = "5f1f6a3e-8d0c-4b7e-9c0a-2f1f6f1b7c11"


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


@pytest.fixture
def shop(start, ledger):
    """Starts a server on the ledger; the same ledger each time."""
    return lambda **settings: start(**{"LEDGER_URL": ledger.url, "INITIAL_STOCK": STOCK, **settings})


def ask(server, key, qty=1, path=SELL_PATH):
    with server.connect(path) as client:
        return buy(client, key, qty, path)


def assert_first(answer):
    assert answer.status == 200 and answer.json()["success"] is True and answer[REPLAYED] is None, answer
    return answer.json()


def assert_replay(answer, first):
    assert answer.status == 200 and answer[REPLAYED] == "true", answer
    said = answer.json()
    assert {k: said[k] for k in ("success", "remaining", "order_id")} == {
        k: first[k] for k in ("success", "remaining", "order_id")}


# ---------------------------------------------------------------- one key


# Asked again, the answer comes again, word for word, and nothing more is sold.
@pytest.mark.parametrize("path", [RESERVE, PURCHASE])
def test_replay(shop, ledger, path):
    server = shop()
    first = ask(server, KEY, 3, path)
    assert_first(first)
    assert ask(server, "another").json()["remaining"] == STOCK - 4
    for _ in range(3):
        again = ask(server, KEY, 3, path)
        assert again[REPLAYED] == "true"
        assert again.json() == first.json()
    assert server.available() == STOCK - 4
    assert len(ledger.sales()) == 2


# A key that sold another quantity is refused, and the first answer stays.
def test_other_quantity(shop):
    server = shop()
    first = assert_first(ask(server, KEY, 2))
    assert_problem(ask(server, KEY, 3), 422, "idempotency_key_reused")
    assert_replay(ask(server, KEY, 2), first)
    assert server.available() == STOCK - 2


# The quoted string of the draft and the bare form are one key; what differs in a letter is another.
def test_forms(shop):
    server = shop()
    first = assert_first(ask(server, KEY))
    assert_replay(ask(server, f'"{KEY}"'), first)
    assert_first(ask(server, KEY.upper()))
    quoted = assert_first(ask(server, r'"a\"b\\c"'))
    assert_replay(ask(server, 'a"b\\c'), quoted)


# The two endpoints share their keys: one key is one sale.
def test_endpoints_share_keys(shop):
    server = shop()
    first = assert_first(ask(server, KEY, 1, RESERVE))
    again = ask(server, KEY, 1, PURCHASE)
    assert_replay(again, first)
    assert again.json()["message"] == "Purchase successful!"
    second = assert_first(ask(server, "2", 1, PURCHASE))
    assert_replay(ask(server, "2", 1, RESERVE), second)


# What is no key is refused and sells nothing.
@pytest.mark.parametrize("headers", [
    [("Idempotency-Key", "")], [("Idempotency-Key", '""')], [("Idempotency-Key", "a b")],
    [("Idempotency-Key", '"open')], [("Idempotency-Key", "k" * 256)], [("Idempotency-Key", "caf\xe9")],
    [("Idempotency-Key", '"a";x=1')], [("Idempotency-Key", '"a" b')],
    [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]],
    ids=["empty", "empty string", "blank", "open", "long", "not ASCII", "parameter", "rest", "two"])
def test_bad_key(server, unsold, headers):
    assert_problem(server.ask("POST", SELL_PATH, {"qty": 1}, headers), 400, "invalid_idempotency_key")


# The longest key is one.
def test_longest_key(shop):
    server = shop()
    first = assert_first(ask(server, "k" * 255))
    assert_replay(ask(server, "k" * 255), first)


# ---------------------------------------------------------------- ends and beginnings


# Keys outlive a proper stop, a kill of everything, and a restart of those who know them.
@pytest.mark.parametrize("end", [lambda server: server.stop(), sigkill_tree], ids=["stop", "kill"])
def test_keys_survive(shop, ledger, end):
    server = shop()
    firsts = {f"key{n}": assert_first(ask(server, f"key{n}", n)) for n in range(1, 6)}
    end(server)
    again = shop()
    for n in range(1, 6):
        assert_replay(ask(again, f"key{n}", n), firsts[f"key{n}"])
    assert_problem(ask(again, "key1", 2), 422, "idempotency_key_reused")
    assert len(ledger.sales()) == 5
    ledger.settled(15, STOCK)


# The keeper's and the workers' deaths make nobody forget either.
def test_keys_survive_deaths(shop, ledger):
    server = shop()
    first = assert_first(ask(server, KEY))
    victims = [keeper(server), *server.workers()]
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    # A try that a dying worker breaks off could have been the sale: the answer to the next try would
    # not claim to be an earlier request's.
    eventually(lambda: not any(map(alive, victims)), "their deaths")
    assert_replay(ask(server, KEY), first)
    ledger.settled(1, STOCK)


# ---------------------------------------------------------------- at the same time


# Many connections send one key at once, to all workers: one sale, and the same answer for all.
def test_race(shop, ledger):
    server = shop(WORKERS=2)
    for turn in range(20):
        key = f"race{turn}"
        clients = [server.connect(SELL_PATH) for _ in range(24)]
        data = request_bytes("POST", SELL_PATH, {"qty": 1}, {"Idempotency-Key": key})
        try:
            # The keeper stands still until all have been sent, so that they are under way together.
            with paused(keeper(server)):
                for client in clients:
                    client.send(data)
            answers = [client.answer() for client in clients]
        finally:
            for client in clients:
                client.close()
        said = [answer.json() for answer in answers]
        assert all(answer.status == 200 for answer in answers)
        assert all(one == said[0] for one in said), said
        assert sum(answer[REPLAYED] is None for answer in answers) == 1, "one of them is the first"
    assert len(ledger.sales()) == 20
    ledger.settled(20, STOCK)


# The same without a pause of anybody, from threads.
def test_race_of_threads(shop, ledger):
    server = shop(WORKERS=2)
    crowds = [Buyers(server, connections=1, each=50, name="same", paths=[SELL_PATHS[n % len(SELL_PATHS)]])
              for n in range(8)]
    for crowd in crowds:
        crowd.__enter__()
    for crowd in crowds:
        crowd.join()
    assert all(crowd.orders == crowds[0].orders and len(crowd.orders) == 50 for crowd in crowds)
    assert len(ledger.check(*crowds)) == 50
    assert sum(crowd.replayed for crowd in crowds) == 50 * 7
    ledger.settled(50, STOCK)


# While the first request is under way a second one waits, and both get the one sale.
def test_in_flight(shop, ledger):
    server = shop(WORKERS=1, SALE_TIMEOUT=30)
    data = request_bytes("POST", SELL_PATH, {"qty": 1}, {"Idempotency-Key": KEY})
    with server.connect(SELL_PATH) as first, server.connect(SELL_PATH) as second:
        with paused(keeper(server)):
            first.send(data)
            eventually(lambda: server.available() == STOCK - 1, "the first has taken its ticket")
            second.send(data)
            assert second.silent(0.4) and first.silent(0), "both wait"
        assert_replay(second.answer(), assert_first(first.answer()))
    ledger.settled(1, STOCK)


# Those who come second, to the same worker and to another, are told at their deadline that the key is
# under way, and afterwards get the first one's answer.
def test_in_flight_past_the_deadline(shop, ledger):
    server = shop(WORKERS=2, SALE_TIMEOUT=0.5)
    data = request_bytes("POST", SELL_PATH, {"qty": 1}, {"Idempotency-Key": KEY})
    others = [server.connect(SELL_PATH) for _ in range(8)]
    try:
        with server.connect(SELL_PATH) as first, stuck(server, ledger, lambda: first.send(data)) as pid:
            for client in others:
                client.send(data)
            for client in others:
                assert_problem(client.answer(), 409, "idempotency_key_in_flight")
            assert first.silent(0), "its outcome is not known yet"
            os.kill(pid, signal.SIGCONT)
            said = assert_first(first.answer())
        for client in others:
            client.send(data)
            assert_replay(client.answer(), said)
    finally:
        for client in others:
            client.close()
    ledger.settled(1, STOCK)


# ---------------------------------------------------------------- sold out


# A key that sold gets its order when nothing is left; one that did not is judged anew each time, and
# sells once there are tickets again.
def test_sold_out(shop, ledger):
    server = shop(INITIAL_STOCK=2)
    first = assert_first(ask(server, KEY, 2))
    for _ in range(3):
        answer = ask(server, "late")
        assert answer.status == 200 and answer[REPLAYED] is None
        assert (answer.json()["success"], answer.json()["remaining"]) == (False, 0)
    assert_replay(ask(server, KEY, 2), first)
    assert ledger.add_stock(5) == 5
    late = assert_first(ask(server, "late"))
    assert late["remaining"] == 4
    assert_replay(ask(server, "late"), late)
    assert_replay(ask(server, KEY, 2), first)
    ledger.settled(3, 7)


# ... also when it is asked again before its sale is in the ledger: it is not sold out, it waits.
def test_sold_out_by_itself(shop, ledger):
    server = shop(INITIAL_STOCK=1, WORKERS=2, SALE_TIMEOUT=30)
    data = request_bytes("POST", SELL_PATH, {"qty": 1}, {"Idempotency-Key": KEY})
    clients = [server.connect(SELL_PATH) for _ in range(8)]
    try:
        with paused(keeper(server)):
            for client in clients:
                client.send(data)
            eventually(lambda: server.available() == 0, "one of them has the ticket")
            assert all(client.silent(0.05) for client in clients)
        said = [client.answer().json() for client in clients]
    finally:
        for client in clients:
            client.close()
    assert all(one == said[0] and one["success"] for one in said), said
    ledger.settled(1, 1)


# ---------------------------------------------------------------- ageing


# A key is forgotten some time after its time to live, and then it is a new one; not before.
def test_expiry(shop, ledger):
    server = shop(IDEMPOTENCY_TTL_SECONDS=3)
    begun = time.monotonic()
    first = assert_first(ask(server, KEY))
    answer = eventually(lambda: (lambda again: None if again[REPLAYED] else again)(ask(server, KEY)), "it is forgotten")
    assert time.monotonic() - begun >= 3, "it was forgotten too early"
    assert assert_first(answer)["order_id"] != first["order_id"]
    assert order(server, first["order_id"]).status == 200, "the order stays"
    ledger.settled(2, STOCK)


# Over a restart the time before it counts, as far as the ledger knows of it, and no key is forgotten
# too early.
def test_no_expiry_over_restarts(shop):
    server = shop(IDEMPOTENCY_TTL_SECONDS=60)
    first = assert_first(ask(server, KEY))
    for _ in range(3):
        server.stop()
        server = shop(IDEMPOTENCY_TTL_SECONDS=60)
        assert_first(ask(server, None))
        assert_replay(ask(server, KEY), first)


# The wall clock is set ahead by a year: no key is older for it, neither in the running tree nor for
# those that are started afterwards.
@pytest.mark.parametrize("end", [lambda server: server.stop(), sigkill_tree], ids=["stop", "kill"])
def test_clock_set_ahead(shop, ledger, tmp_path, end):
    flag = tmp_path / "shift"
    settings = {"IDEMPOTENCY_TTL_SECONDS": 3600, **preload(tmp_path, "clock", TEST_WALL_SHIFT=flag)}
    server = shop(**settings)
    first = assert_first(ask(server, "before"))
    flag.write_text(str(365 * 86400))
    second = assert_first(ask(server, "after"))
    assert ledger.rows("SELECT count(*) FROM clock_steps WHERE step_us > 31000000000000") == [(1,)], "the shim is idle"
    for _ in range(3):
        assert_replay(ask(server, "before"), first)
        assert_replay(ask(server, "after"), second)
        end(server)
        flag.write_text(str(int(flag.read_text()) + 30 * 86400))
        server = shop(**settings)
        assert_first(ask(server, None))
    assert_replay(ask(server, "before"), first)
    assert_replay(ask(server, "after"), second)


# ... nor set back.
def test_clock_set_back(shop, tmp_path):
    flag = tmp_path / "shift"
    settings = {"IDEMPOTENCY_TTL_SECONDS": 3600, **preload(tmp_path, "clock", TEST_WALL_SHIFT=flag)}
    server = shop(**settings)
    first = assert_first(ask(server, KEY))
    flag.write_text("-86400")
    second = assert_first(ask(server, "after"))
    server.stop()
    server = shop(**settings)
    assert_replay(ask(server, KEY), first)
    assert_replay(ask(server, "after"), second)


# ---------------------------------------------------------------- the table is full


# At IDEMPOTENCY_KEYS_MAX new keys get 503, known ones their answer, and who has no key still buys.
def test_full_table(shop, ledger):
    server = shop(IDEMPOTENCY_KEYS_MAX=1000, INITIAL_STOCK=100000, WORKERS=1)
    with Buyers(server, connections=8, each=150, name="fill") as load:
        load.join()
    # those that were under way when the last place was taken have theirs as well
    sold = len(load.orders)
    assert 1000 <= sold <= 1000 + 8, sold
    assert set(load.refused.values()) == {"overloaded"} and not load.wrong and not load.lost
    assert_problem(ask(server, "one-more"), 503, "overloaded")
    for key in sorted(load.orders)[:20]:
        answer = ask(server, key)
        assert answer[REPLAYED] == "true" and answer.json()["order_id"] == load.orders[key]
    assert ask(server, None).json()["success"] is True
    ledger.check(load)
    ledger.settled(sold + 1, 100000)
    # a table that was filled beyond its limit by those under way does not keep the next start from
    # remembering them all
    server.stop()
    server = shop(IDEMPOTENCY_KEYS_MAX=1000, INITIAL_STOCK=100000, WORKERS=1)
    for key in load.orders:
        answer = ask(server, key)
        assert answer[REPLAYED] == "true" and answer.json()["order_id"] == load.orders[key]
    assert_problem(ask(server, "one-more"), 503, "overloaded")
