"""Whatever goes wrong between the pools: the answer is true, the stock exact, and it recovers by itself.

A purchase meets a fault once, and the next try tells; or meets it until its time is over, and then
the answer says that nothing was sold, or that nobody knows and with which key to ask again."""

import os
import signal
import threading

import pytest

import hop_proxy as faults
from durability import Ledger, Reconnecting, keeper, paused
from harness import MICROSERVICES, PURCHASE, SLOW, alive, eventually, request_bytes
from hop import IN_DOUBT, KEY, NOTHING, SOLD, STOCK, audit, outcome
from hop_proxy import HopProxy

pytestmark = pytest.mark.skipif(not MICROSERVICES, reason="there is one process between client and stock")

# Time for one purchase: of a test that waits until it is over, and of one that must not reach it.
SHORT_S = round(0.6 + 0.1 * SLOW, 3)
LONG_S = 30
ONE = request_bytes("POST", PURCHASE, {"qty": 1})

KEYS = pytest.mark.parametrize("key", ["mine", None], ids=["keyed", "unkeyed"])
GONE = '{"success":false,"remaining":0,"message":"Insufficient inventory"}'
# Each ends an attempt by itself; the next one tells what became of the purchase.
PROMPT = {
    "closed before": faults.closes_at_once,
    "reset before": faults.resets_at_once,
    "a tenth of the request": faults.cuts_request(0.1),
    "half the request": faults.cuts_request(0.5),
    "nearly all of the request": faults.cuts_request(0.99),
    "closed after": faults.cuts_answer(0),
    "reset after": faults.cuts_answer(0, reset=True),
    "half the head": faults.cuts_answer(0.1),
    "half the answer": faults.cuts_answer(0.5),
    "half the answer, reset": faults.cuts_answer(0.5, reset=True),
    "all but the last byte": faults.cuts_answer(0.999),
    "half the body": faults.cuts_body,
    "too short a length": faults.wrong_length(-7),
    "no HTTP": faults.answers(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 rubbish\r\n\r\n"),
    "no length": faults.answers(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"results":[]}'),
    "chunked and cut": faults.answers(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                      b"Transfer-Encoding: chunked\r\n\r\n9\r\n{\"results"),
    "no JSON": faults.answers(faults.json_answer("results")),
    "another type": faults.answers(faults.json_answer('{"results":[{"success":false,"remaining":0}]}',
                                                      content_type="text/html")),
    "no results": faults.answers(faults.json_answer("{}")),
    "too few results": faults.answers(faults.json_answer('{"results":[]}')),
    # there are never more than two
    "too many results": faults.answers(faults.json_answer('{"results":[%s]}' % ",".join(3 * [GONE]))),
    "success without an order": faults.answers(faults.json_answer(
        '{"results":[{"success":true,"remaining":5,"message":"Reserved 1 tickets"}]}')),
    "a result of the wrong type": faults.answers(faults.json_answer(
        '{"results":[{"success":"false","remaining":"0","message":"Insufficient inventory"}]}')),
    "status 500": faults.answers(faults.json_answer("oops", "500 Internal Server Error")),
    "status 502 of a proxy": faults.answers_instead(faults.json_answer("<html>", "502 Bad Gateway", "text/html")),
}
# Each ends when the time of the try is over.
SILENT = {
    "request swallowed": faults.swallows_request,
    "answer swallowed": faults.swallows_answer,
    "stalls in the answer": faults.stalls_in_answer,
    "too long a length": faults.wrong_length(+7),
}


OVERLOADED = '{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"x","code":"overloaded"}'
BUSY = faults.json_answer(OVERLOADED, "503 Service Unavailable", "application/problem+json")
BUSY_ITEM = faults.json_answer('{"results":[{"error":%s}]}' % OVERLOADED)


# One fault on the way, before the sale or after it: the purchase succeeds all the same, once.
@KEYS
@pytest.mark.parametrize("name", PROMPT)
def test_once(hop, name, key):
    shop = hop(VACANCY_TIMEOUT=LONG_S)
    shop.proxy.next_faults.append(PROMPT[name])
    answer = shop.buy(key)
    assert outcome(answer, key) == SOLD, answer
    assert not shop.proxy.next_faults and len(shop.proxy.batches) >= 2, "the fault was not met"
    assert answer["Idempotent-Replayed"] is None, "it is this client's own sale"
    shop.check([answer.json()["order_id"], shop.recovers()])


# One silence: a quarter of the time is left for another connection, which tells.
@pytest.mark.parametrize("name", SILENT)
def test_silent_once(hop, name):
    shop = hop(VACANCY_TIMEOUT=round(6 * SHORT_S, 3))
    shop.proxy.next_faults.append(SILENT[name])
    answer = shop.buy()
    assert outcome(answer, None) == SOLD, answer
    shop.check([answer.json()["order_id"], shop.recovers()])


# The same fault again and again until the time is over, with a key and without: nobody may claim to
# know, and asking again with the key tells.
@pytest.mark.parametrize("name", [*PROMPT, *SILENT])
def test_until_the_time_is_over(hop, name):
    shop = hop(VACANCY_TIMEOUT=SHORT_S, BREAKER_OPEN_SECONDS=0.1, TICKET_WORKERS=1, BREAKER_FAILURES=10)
    shop.proxy.fault = {**PROMPT, **SILENT}[name]
    with shop.server.connect(PURCHASE) as keyed, shop.server.connect(PURCHASE) as unkeyed:
        keyed.send(request_bytes("POST", PURCHASE, {"qty": 1}, {KEY: "mine"}))
        unkeyed.send(ONE)
        answers = {"mine": keyed.answer(), None: unkeyed.answer()}
    for key, answer in answers.items():
        assert outcome(answer, key) == IN_DOUBT, answer
    shop.proxy.fault = faults.passes
    orders = [shop.resolved(answer, key) for key, answer in answers.items()]
    shop.check([*orders, shop.recovers()])


# After a broken try a refusal says nothing about that try: only a sale, a replay, sold out or a
# reused key does.
@pytest.mark.parametrize("refusal", [BUSY, BUSY_ITEM], ids=["of the batch", "of the one purchase"])
def test_refusal_after_a_broken_try(hop, refusal):
    shop = hop(VACANCY_TIMEOUT=SHORT_S)
    shop.proxy.next_faults.append(faults.cuts_answer(0.5))
    shop.proxy.fault = faults.answers_instead(refusal)
    answer = shop.buy()
    assert outcome(answer, None) == IN_DOUBT, answer
    shop.proxy.fault = faults.passes
    shop.check([shop.resolved(answer)])


# A vacancy pool that refuses from the beginning has sold nothing, and that is what the client hears.
@pytest.mark.parametrize("refusal", [BUSY, BUSY_ITEM], ids=["of the batch", "of the one purchase"])
def test_refusal(hop, refusal):
    shop = hop(VACANCY_TIMEOUT=LONG_S)
    shop.proxy.next_faults.append(faults.answers_instead(refusal))
    assert outcome(shop.buy(), None) == NOTHING
    assert len(shop.proxy.batches) == 1, "it is answered at once"
    shop.check([shop.recovers()])


# Nobody listens: nothing was sold, at once or when the time is over; and later it sells again.
@KEYS
def test_refused(hop, key):
    shop = hop(VACANCY_TIMEOUT=SHORT_S, BREAKER_OPEN_SECONDS=0.1)
    shop.proxy.refuse()
    answer = shop.buy(key)
    assert outcome(answer, key) == NOTHING and answer.json()["code"] == "vacancy_unavailable", answer
    shop.proxy.listen_again()
    shop.check([shop.recovers()])


# A connection that was kept and is closed, properly or not, costs a purchase nothing.
@pytest.mark.parametrize("fault", [faults.closes_after, faults.resets_after], ids=["closed", "reset"])
def test_closed_keepalive(hop, fault):
    shop = hop(VACANCY_TIMEOUT=LONG_S, TICKET_WORKERS=1)
    orders = []
    for _ in range(10):
        shop.proxy.next_faults.append(fault)
        orders += [shop.resolved(shop.buy()) for _ in range(2)]
    shop.check(orders)


# ... nor one that is closed at the moment of the request.
def test_keepalive_race(hop):
    shop = hop(VACANCY_TIMEOUT=LONG_S, TICKET_WORKERS=1)
    orders = []
    for _ in range(10):
        orders.append(shop.resolved(shop.buy()))
        shop.proxy.next_faults.append(faults.closes_at_once)
        shop.proxy.drop()
        answer = shop.buy()
        assert outcome(answer, None) == SOLD
        orders.append(answer.json()["order_id"])
    shop.check(orders)


# Slow is not broken: an answer within the time is an answer, in one piece or byte by byte.
@pytest.mark.parametrize("fault", [faults.delays(0.3), faults.trickles], ids=["delayed", "byte by byte"])
def test_slow(hop, fault):
    shop = hop(VACANCY_TIMEOUT=LONG_S)
    shop.proxy.fault = fault
    answer = shop.buy()
    assert outcome(answer, None) == SOLD
    assert len(shop.proxy.batches) == 1
    shop.check([answer.json()["order_id"]])


# An answer that comes when the client was told already changes nothing any more.
def test_too_slow(hop):
    shop = hop(VACANCY_TIMEOUT=SHORT_S)
    shop.proxy.fault = faults.delays(LONG_S)
    answer = shop.buy()
    assert outcome(answer, None) == IN_DOUBT
    shop.proxy.fault = faults.passes
    again = shop.buy(answer[KEY])
    assert outcome(again, None) == SOLD and again["Idempotent-Replayed"] == "true", "it was sold"
    shop.check([again.json()["order_id"], shop.recovers()])


# A request that the network delivers when nobody waits any more sells once at most, and under its key.
def test_late_delivery(hop):
    shop = hop(VACANCY_TIMEOUT=round(6 * SHORT_S, 3))
    delivered = threading.Event()

    def late(link, request):
        link.wait_gone()
        link.forward(request.bytes)
        link.back.message()
        delivered.set()
        return False

    shop.proxy.next_faults.append(late)
    order = shop.resolved(shop.buy())
    assert delivered.wait(SHORT_S + 30)
    shop.check([order, shop.recovers()])


# One bad exchange does not reach those who travel in others, and each of one batch gets its own answer.
def test_crowd_and_one_fault(hop):
    shop = hop(VACANCY_TIMEOUT=LONG_S, TICKET_WORKERS=1)
    gate = threading.Event()
    shop.proxy.next_faults += [faults.held(gate), faults.cuts_answer(0.6)]
    clients = [shop.server.connect(PURCHASE) for _ in range(50)]
    try:
        for client in clients:
            client.send(ONE)
        eventually(lambda: shop.proxy.batches, "the first batch is under way")
        gate.set()
        answers = [client.answer() for client in clients]
    finally:
        for client in clients:
            client.close()
    assert all(outcome(answer, None) == SOLD for answer in answers)
    shop.check([answer.json()["order_id"] for answer in answers])


# ---------------------------------------------------------------- the processes behind it


# A vacancy worker that is stopped, and goes on when nobody waits for its answer, sells nothing then.
@KEYS
def test_stopped_worker(start, quick_path, key):
    ledger = Ledger(quick_path)
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, WORKERS=1, VACANCY_TIMEOUT=SHORT_S)
    connection = Reconnecting(server.address_for(PURCHASE))

    def buy(key=None):
        return connection.ask(request_bytes("POST", PURCHASE, {"qty": 1}, {KEY: key} if key else {}))

    eventually(lambda: outcome(buy(), None) == SOLD, "it sells")
    (worker,) = server.workers()
    with paused(worker):
        answer = buy(key)
        assert outcome(answer, key) == IN_DOUBT, answer
    eventually(lambda: outcome(buy(), None) == SOLD, "it sells again")
    sold = len(ledger.sales())
    again = buy(key or answer[KEY])
    assert outcome(again, True) == SOLD
    assert again["Idempotent-Replayed"] is None and len(ledger.sales()) == sold + 1, "it was sold to nobody"
    assert alive(worker), "the stop was short"
    ledger.settled(sold + 1, STOCK)
    assert audit(ledger)["agrees"]


# The workers of the vacancy pool are killed in the middle of a purchase: it is asked again of the new
# ones, and succeeds once.
@KEYS
def test_killed_workers(start, quick_path, key):
    ledger = Ledger(quick_path)
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, VACANCY_TIMEOUT=LONG_S)
    with server.connect(PURCHASE) as client:
        assert client.ask("POST", PURCHASE, {"qty": 1}).status == 200
        workers = server.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        client.send(request_bytes("POST", PURCHASE, {"qty": 1}, {KEY: key} if key else {}))
        assert client.silent(0.1)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert outcome(client.answer(), key) == SOLD
    server.wait_workers(2, without=workers)
    ledger.settled(2, STOCK)
    assert audit(ledger)["agrees"]


# The vacancy pool, a master of its own, is killed whole; the ticket pool says that nothing was sold
# until the next one is there, and then sells on.
def test_killed_master(start, quick_path):
    ledger = Ledger(quick_path)
    vacancy = start(SERVICES="vacancy", LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    ports = vacancy.ports()
    ticket = start(SERVICES="ticket", VACANCY_URL=vacancy.vacancy_url, VACANCY_TIMEOUT=SHORT_S,
                   BREAKER_OPEN_SECONDS=0.1)
    def buy(key):
        return ticket.ask("POST", PURCHASE, {"qty": 1}, {KEY: key})

    def sold(key):
        return eventually(lambda: (lambda one: one if outcome(one, key) == SOLD else None)(buy(key)), "it is sold")

    order_id = sold("first").json()["order_id"]
    os.kill(vacancy.master_pid, signal.SIGKILL)
    vacancy.wait_exit()
    vacancy.assert_gone()
    answer = buy("second")
    assert outcome(answer, "second") == NOTHING, answer
    assert ticket.ask("GET", "/health").status == 200
    start(SERVICES="vacancy", LEDGER_URL=ledger.url, **ports)
    eventually(lambda: ticket.ask("GET", "/ready").status == 200, "ready again")
    again = sold("first")
    assert again.json()["order_id"] == order_id and again["Idempotent-Replayed"] == "true"
    sold("second")
    ledger.settled(2, STOCK)
    assert audit(ledger)["agrees"]


# The keeper stands still, not long enough to be replaced: the vacancy pool says in time that nothing was sold, and the client hears
# just that.
@KEYS
def test_keeper_stands_still(start, quick_path, key):
    ledger = Ledger(quick_path)
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, VACANCY_TIMEOUT=round(2.4 + 0.1 * SLOW, 3), SALE_TIMEOUT=60)
    with server.connect(PURCHASE) as client, paused(keeper(server)):
        answer = client.ask("POST", PURCHASE, {"qty": 1}, {KEY: key} if key else {})
        assert outcome(answer, key) == NOTHING, answer
    assert outcome(server.ask("POST", PURCHASE, {"qty": 1}, {KEY: key} if key else {}), key) == SOLD
    ledger.settled(1, STOCK)
    assert audit(ledger)["agrees"]


# What stands in VACANCY_URL is no vacancy pool at all: nothing is believed, nobody is told a sale.
@pytest.mark.parametrize("data", [
    faults.json_answer('{"status":"fine"}'), faults.json_answer("<html></html>", content_type="text/html"),
    faults.json_answer('{"results":[{"success":true,"remaining":-1,"message":"","order_id":"x"}]}')],
    ids=["other JSON", "HTML", "nonsense"])
def test_no_vacancy_pool(start, data):
    proxy = HopProxy()
    proxy.fault_of_all = faults.answers_instead(data)
    try:
        ticket = start(SERVICES="ticket", VACANCY_URL=proxy.url, VACANCY_TIMEOUT=SHORT_S)
        for key in (None, "mine"):
            answer = ticket.ask("POST", PURCHASE, {"qty": 1}, {KEY: key} if key else {})
            assert outcome(answer, key) in (IN_DOUBT, NOTHING), answer
        assert ticket.ask("GET", "/ready").status == 503
        answer = ticket.ask("GET", "/api/v1/orders/ffff0000-0001-8007-8000-000000000009")
        assert answer.status == 503, "an order is not missing because nobody can be asked"
    finally:
        proxy.refuse()
