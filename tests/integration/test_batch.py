"""POST /api/v1/reserve/batch: what a ticket pool asks a vacancy pool; a monolith serves it too."""

import json
import threading

import pytest

from durability import DUPLICATE, VOID, Ledger, buy, keeper, paused, sigkill_tree
from harness import RESERVE, assert_problem, eventually, request_bytes

BATCH = "/api/v1/reserve/batch"
STOCK = 1000
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# src/wire/reserve_batch.h
ENVELOPE_SIZE, REQUEST_SIZE = 64, 1280
# src/http/exchange.h, include/ticketd/key.h
LEFT = "the client closed the connection before the batch was judged"
TRANSIENT = "ticketd."


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


@pytest.fixture
def shop(start, ledger):
    """Starts a server on the ledger; the same ledger each time."""
    return lambda **settings: start(**{"LEDGER_URL": ledger.url, "INITIAL_STOCK": STOCK, **settings})


def request(qty, key=None, **more):
    return {"qty": qty, **({"idempotency_key": key} if key is not None else {}), **more}


def batch(*requests, **more):
    return {"requests": list(requests), **more}


def ask(server, *requests, **more):
    """The results of one batch."""
    answer = server.ask("POST", BATCH, batch(*requests, **more))
    assert answer.status == 200, answer
    results = answer.json()["results"]
    assert len(results) == len(requests)
    return results


def send(client, *requests):
    """One batch, without waiting for the answer."""
    client.send(request_bytes("POST", BATCH, batch(*requests)))


def assert_sold(result, qty, remaining, replayed=False):
    assert result["success"] is True and result["remaining"] == remaining, result
    assert result["message"] == f"Reserved {qty} tickets"
    assert result.get("replayed", False) is replayed
    return result["order_id"]


def assert_error(result, status, code):
    assert set(result) == {"error"}, result
    assert (result["error"]["status"], result["error"]["code"]) == (status, code), result
    return result["error"]


# ---------------------------------------------------------------- each judged on its own


# Each request is sold in the order of the batch, and its order is in the ledger.
def test_sales(shop, ledger):
    server = shop()
    results = ask(server, request(1), request(2, "a"), request(3))
    orders = [assert_sold(results[0], 1, STOCK - 1), assert_sold(results[1], 2, STOCK - 3),
              assert_sold(results[2], 3, STOCK - 6)]
    assert [(order, quantity) for order, _, quantity in ledger.sales()] == list(zip(orders, (1, 2, 3)))
    ledger.settled(6, STOCK)


# What is wrong with one request, or sold out for one, is its own; the others go on.
def test_one_by_one(shop, ledger):
    server = shop(INITIAL_STOCK=5)
    results = ask(server, request(3), request(0), request(3), request(1, ""), request(1, "x" * 256),
                  request("1"), {}, request(2), request(1))
    assert_sold(results[0], 3, 2)
    assert_error(results[1], 422, "invalid_quantity")
    assert results[2] == {"success": False, "remaining": 2, "message": "Insufficient inventory"}
    for i in 3, 4:
        error = assert_error(results[i], 400, "invalid_idempotency_key")
        assert error["errors"][0]["pointer"] == f"#/requests/{i}/idempotency_key"
    for i in 5, 6:
        error = assert_error(results[i], 422, "invalid_quantity")
        assert error["errors"][0]["pointer"] == f"#/requests/{i}/qty"
    assert_sold(results[7], 2, 0)
    assert results[8] == {"success": False, "remaining": 0, "message": "Insufficient inventory"}
    ledger.settled(5, 5)


# A key is one key whether it comes alone or in a batch.
def test_keys(shop, ledger):
    server = shop()
    with server.connect(RESERVE) as client:
        alone = buy(client, "k", 2, RESERVE).json()
    (again, other, new) = ask(server, request(2, "k"), request(3, "k"), request(1, "new"))
    assert assert_sold(again, 2, STOCK - 2, replayed=True) == alone["order_id"]
    assert_error(other, 422, "idempotency_key_reused")
    order = assert_sold(new, 1, STOCK - 3)
    with server.connect(RESERVE) as client:
        answer = buy(client, "new", path=RESERVE)
        assert answer["Idempotent-Replayed"] == "true" and answer.json()["order_id"] == order
    ledger.settled(3, STOCK)


# One key many times in one batch sells once; the others are told of that sale.
def test_duplicates(shop, ledger):
    server = shop()
    results = ask(server, *[request(2, "same")] * 20, request(1, "same"))
    orders = [assert_sold(result, 2, STOCK - 2, result.get("replayed", False)) for result in results[:-1]]
    assert len(set(orders)) == 1
    assert sum(result.get("replayed", False) for result in results) == 19
    assert_error(results[-1], 422, "idempotency_key_reused")
    assert len(ledger.sales()) == 1 and ledger.count(DUPLICATE) == 0
    ledger.settled(2, STOCK)


# Crowds of batches with each other's keys sell each key once and no ticket too many.
def test_crowd(shop, ledger):
    keys, connections = 150, 6
    server = shop(INITIAL_STOCK=keys - 30)
    told, wrong = {}, []
    lock = threading.Lock()

    def run():
        with server.connect(RESERVE) as client:
            for first in range(0, keys, 15):
                answer = client.ask("POST", BATCH, batch(*[request(1, f"k{first + i}") for i in range(15)]))
                with lock:
                    note(first, answer)

    def note(first, answer):
        for i, result in enumerate(answer.json()["results"]):
            if result.get("success"):
                told.setdefault(f"k{first + i}", set()).add(result["order_id"])
            elif result.get("message") != "Insufficient inventory":
                wrong.append(result)

    threads = [threading.Thread(target=run) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert all(len(orders) == 1 for orders in told.values())
    assert {orders.pop() for orders in told.values()} == {order for order, _, _ in ledger.sales()}
    ledger.settled(keys - 30, keys - 30)


# ---------------------------------------------------------------- limits and bad input


# BATCH_MAX requests are taken, one more sells none of them, and the answer says the limit.
def test_batch_max(start):
    server = start(BATCH_MAX=3)
    before = server.available()
    ask(server, *[request(1)] * 3)
    answer = server.ask("POST", BATCH, batch(*[request(1)] * 4))
    assert_problem(answer, 422, "invalid_batch")
    assert "at most 3 requests" in answer.json()["detail"]
    assert answer.json()["errors"][0]["pointer"] == "#/requests"
    assert server.available() == before - 3


# The body of a batch has a limit of its own, which grows with BATCH_MAX; other paths keep theirs.
@pytest.mark.parametrize("most", [1, 128])
def test_body_limit(start, most):
    server = start(BATCH_MAX=most, MAX_BODY_BYTES=1024)
    limit = ENVELOPE_SIZE + most * REQUEST_SIZE
    body = json.dumps(batch(request(1))).encode()
    before = server.available()
    assert server.ask("POST", BATCH, body + b" " * (limit - len(body))).status == 200
    assert_problem(server.ask("POST", BATCH, body + b" " * (limit + 1 - len(body))), 413, "body_too_large")
    one = b'{"qty":1}'
    assert_problem(server.ask("POST", RESERVE, one + b" " * (1025 - len(one))), 413, "body_too_large")
    assert server.available() == before - 1


# What is no batch sells nothing and says where it is wrong.
@pytest.mark.parametrize("body, status, code, pointer", [
    (b"", 400, "malformed_json", None),
    (b"{", 400, "malformed_json", None),
    (b'{"requests":[{"qty":1}],"requests":[{"qty":1}]}', 400, "malformed_json", None),
    (b'{"requests":[{"qty":1,"qty":2}]}', 400, "malformed_json", None),
    (b"[]", 422, "invalid_batch", "#"),
    (b'{"qty":1}', 422, "invalid_batch", "#/requests"),
    (b'{"requests":[]}', 422, "invalid_batch", "#/requests"),
    (b'{"requests":{"qty":1}}', 422, "invalid_batch", "#/requests"),
    (b'{"requests":[{"qty":1},null]}', 422, "invalid_batch", "#/requests"),
    (b'{"timeout_ms":"1","requests":[{"qty":1}]}', 422, "invalid_batch", "#/timeout_ms"),
    (b'{"timeout_ms":1e3,"requests":[{"qty":1}]}', 422, "invalid_batch", "#/timeout_ms"),
])
def test_no_batch(server, unsold, body, status, code, pointer):
    answer = server.ask("POST", BATCH, body)
    assert_problem(answer, status, code)
    if pointer is not None:
        assert answer.json()["errors"][0]["pointer"] == pointer


# The path has its method, and wants JSON.
def test_method_and_type(server, unsold):
    answer = server.ask("GET", BATCH)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "POST, OPTIONS"
    answer = server.ask("POST", BATCH, batch(request(1)), {"Content-Type": "text/plain"})
    assert_problem(answer, 415, "unsupported_media_type")


# ---------------------------------------------------------------- time


# A batch's own time is the limit of its sales, if it is the shorter one: what is not durable by then
# is taken back, each, and said to be not sold.
def test_timeout(shop, ledger):
    server = shop(SALE_TIMEOUT="60")
    with paused(keeper(server)):
        results = ask(server, request(1), request(2, "k"), request(0), timeout_ms=100)
    for result in results[:2]:
        assert_error(result, 503, "overloaded")
    assert_error(results[2], 422, "invalid_quantity")
    ledger.settled(0, STOCK)
    assert ledger.count(VOID) == 2
    assert_sold(ask(server, request(2, "k"))[0], 2, STOCK - 2)


# A client that leaves takes its sales back, those with one key among them.
def test_client_leaves(shop, ledger):
    server = shop(SALE_TIMEOUT="60", LOG_LEVEL="DEBUG")
    with paused(keeper(server)):
        with server.connect(RESERVE) as client:
            taken = ledger.event()["available"]
            send(client, request(1), request(2, "k"), request(2, "k"), request(4))
            eventually(lambda: ledger.event()["available"] == taken - 7, "the sales are under way")
            since = server.mark()
        server.wait_log(LEFT, since)
    ledger.settled(0, STOCK)
    assert ledger.sales() == [] and ledger.count(VOID) == 3


# A worker that was stopped, and goes on, sells nothing for a client that has left meanwhile.
@pytest.mark.parametrize("used_before", [True, False])
def test_stopped_worker(shop, ledger, used_before):
    server = shop(WORKERS=1, LOG_LEVEL="DEBUG")
    (worker,) = server.workers()
    client = server.connect(RESERVE)
    if used_before:
        assert client.ask("GET", "/health").status == 200
    with paused(worker):
        send(client, request(1), request(2, "k"))
        client.close()
        since = server.mark()
    server.wait_log(LEFT, since)
    assert server.available() == STOCK
    assert ledger.sales() == [] and ledger.count(VOID) == 0


# ---------------------------------------------------------------- transient keys


# A transient key sells once, also across a restart, and is told apart from all others in the ledger.
def test_transient_key(shop, ledger):
    server = shop()
    first = assert_sold(ask(server, request(1, TRANSIENT + "a"))[0], 1, STOCK - 1)
    assert_sold(ask(server, request(1, "a"))[0], 1, STOCK - 2)
    kinds = [key[:8] == "00000000" for _, key, _ in ledger.sales()]
    assert kinds == [True, False]
    sigkill_tree(server)
    server = shop()
    server.wait_log("; 1 keys are remembered")
    assert assert_sold(ask(server, request(1, TRANSIENT + "a"))[0], 1, STOCK - 1, replayed=True) == first
    ledger.settled(2, STOCK)


# Clients' keys leave the room of transient ones as it is, and the other way round: when the one is
# full, the other goes on.
@pytest.mark.parametrize("full, free", [("", TRANSIENT), (TRANSIENT, "")])
def test_transient_keys_have_room_of_their_own(shop, ledger, full, free):
    server = shop(IDEMPOTENCY_KEYS_MAX=1000, INITIAL_STOCK=10000)
    for first in range(0, 1000, 100):
        ask(server, *[request(1, f"{full}{first + i}") for i in range(100)])
    (refused, known, other, without) = ask(
        server, request(1, f"{full}new"), request(1, f"{full}7"), request(1, f"{free}new"), request(1))
    assert_error(refused, 503, "overloaded")
    assert known["replayed"] is True
    assert other["success"] is True and without["success"] is True
    ledger.settled(1002, 10000)


# ---------------------------------------------------------------- log


# With the access log on, each request of a batch has its line, under its own id.
def test_access_log(start):
    server = start(ACCESS_LOG="true", LOG_LEVEL="INFO")
    since = server.mark()
    ask(server, request(2, request_id="one", traceparent=TRACE), request(0, request_id="two"), request(1, "k"),
        request(1, "k"))
    one, two, three, four = server.wait_log("^in a batch: ", since, count=4)
    lines = {one["request_id"]: one["message"], two["request_id"]: two["message"]} | {
        entry["request_id"]: entry["message"] for entry in (three, four)}
    assert lines["one"] == f"in a batch: qty 2 sold trace {TRACE}"
    assert lines["two"] == "in a batch: qty 0 invalid_quantity"
    (access,) = server.wait_log(lambda entry: entry.get("event") == "access", since)
    messages = [entry["message"] for entry in (one, two, three, four) if entry["request_id"] == access["request_id"]]
    assert sorted(messages) == ["in a batch: qty 1 replayed", "in a batch: qty 1 sold"]


# A request's trace stands in its line of the access log, if it is one.
@pytest.mark.parametrize("sent, logged", [(TRACE, TRACE), ("00-0", None), (TRACE.upper(), None)])
def test_trace_in_access_log(start, sent, logged):
    server = start(ACCESS_LOG="true")
    since = server.mark()
    assert server.ask("POST", RESERVE, {"qty": 1}, {"traceparent": sent}).status == 200
    (line,) = server.wait_log(lambda entry: entry.get("event") == "access", since)
    assert line.get("traceparent") == logged
