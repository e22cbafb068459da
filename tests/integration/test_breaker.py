"""The breaker of the hop: opens, answers without asking, lets one call try, closes; and what /ready says."""

import threading
import time

import pytest

import hop_proxy as faults
from harness import MICROSERVICES, PURCHASE, SLOW, eventually, request_bytes
from hop import IN_DOUBT, NOTHING, SOLD, outcome

pytestmark = pytest.mark.skipif(not MICROSERVICES, reason="there is one process between client and stock")

FAILURES = 3
# So long that it ends in no test, and so short that a test waits for its end.
OPEN_LONG_S, OPEN_SHORT_S = 60, 0.5
# client/vacancy_remote.h, REMOTE_PROBE_MS
PROBE_S = 0.25
# What the log says when a breaker opens and closes.
BROKEN_LOG, MENDED_LOG = "fails again and again", "answers again"


@pytest.fixture
def shop(hop):
    return lambda **settings: hop(**{"TICKET_WORKERS": 1, "BREAKER_FAILURES": FAILURES, "VACANCY_TIMEOUT": 30,
                                     "BREAKER_OPEN_SECONDS": OPEN_LONG_S, **settings})


def probes(proxy):
    return [at for at, request in proxy.requests if request.path.endswith("/ready")]


def opened(one):
    """The breaker is open, because nobody listened."""
    one.proxy.refuse()
    assert outcome(one.buy(), None) == NOTHING
    one.server.wait_log(BROKEN_LOG)
    one.proxy.listen_again()


# Open means that nobody is asked: every purchase has its 503 with Retry-After at once, and not one
# connection is made.
def test_open(shop):
    one = shop()
    opened(one)
    accepted = one.proxy.accepted
    begun = time.monotonic()
    for key in [None, "mine"] * 10:
        answer = one.buy(key)
        assert outcome(answer, key) == NOTHING and answer.json()["code"] == "vacancy_unavailable", answer
    assert time.monotonic() - begun < 30, "somebody waited for a call"
    assert one.proxy.accepted == accepted and not one.proxy.batches
    assert one.server.ask("GET", "/ready").status == 503
    assert one.server.ask("GET", "/health").status == 200


# So many failures in a row open it, and no fewer: a success in between begins the count anew.
def test_failures_in_a_row(shop):
    one = shop()
    orders = []
    for _ in range(4):
        one.proxy.next_faults += [faults.closes_at_once] * (FAILURES - 1)
        answer = one.buy()
        assert outcome(answer, None) == SOLD, answer
        orders.append(answer.json()["order_id"])
    assert len(one.proxy.batches) == 4 * FAILURES
    assert not [entry for entry in one.server.log if BROKEN_LOG in entry.get("message", "")]
    one.check(orders)


# It opens after exactly so many, whoever met them; then the peer is left alone.
def test_left_alone(shop):
    one = shop(VACANCY_TIMEOUT=2 * SLOW)
    one.proxy.fault = faults.closes_at_once
    assert outcome(one.buy(), None) == IN_DOUBT
    assert len(one.proxy.batches) == FAILURES
    assert outcome(one.buy(), None) == NOTHING
    assert len(one.proxy.batches) == FAILURES


# When its time has come one call tries, and no other goes with it; it succeeds, and all go.
def test_half_open(shop):
    one = shop(BREAKER_OPEN_SECONDS=OPEN_SHORT_S)
    opened(one)
    gate = threading.Event()
    one.proxy.next_faults.append(faults.held(gate))
    orders = []
    # purchases come all the time, until one of them is let through
    with one.server.connect(PURCHASE) as tried:
        def let_through():
            tried.send(request_bytes("POST", PURCHASE, {"qty": 1}))
            eventually(lambda: one.proxy.batches or not tried.silent(0), "an answer, or a try")
            if not one.proxy.batches:
                assert outcome(tried.answer(), None) == NOTHING
            return one.proxy.batches

        eventually(let_through, "a purchase is let through")
        # and while it is under way the others have their answer, and do not reach the peer
        for _ in range(20):
            assert outcome(one.buy(), None) == NOTHING
        assert len(one.proxy.batches) == 1 and one.proxy.accepted == 1
        gate.set()
        answer = tried.answer()
        assert outcome(answer, None) == SOLD
        orders.append(answer.json()["order_id"])
    one.server.wait_log(MENDED_LOG)
    for _ in range(5):
        answer = one.buy()
        assert outcome(answer, None) == SOLD
        orders.append(answer.json()["order_id"])
    one.check(orders)


# A try that fails opens it again, for as long again.
def test_half_open_fails(shop):
    one = shop(BREAKER_OPEN_SECONDS=OPEN_SHORT_S, VACANCY_TIMEOUT=0.7 * SLOW)
    opened(one)
    one.proxy.fault = faults.closes_at_once
    begun = time.monotonic()
    for _ in range(3):
        tried = len(one.proxy.batches)
        eventually(lambda: one.buy().status and len(one.proxy.batches) > tried, "one more try")
    assert len(one.proxy.batches) <= (time.monotonic() - begun) / OPEN_SHORT_S + 1, "it was not left alone in between"
    one.proxy.fault = faults.passes
    one.recovers()


# ---------------------------------------------------------------- /ready


# /ready says what the vacancy pool says, follows it in both directions, and /health depends on nobody.
def test_ready_tells_the_truth(shop):
    one = shop(BREAKER_OPEN_SECONDS=0.1)

    def ready():
        answer = one.server.ask("GET", "/ready")
        assert one.server.ask("GET", "/health").status == 200
        said = answer.json()
        assert (answer.status == 200) == (said["status"] == "ready") == (said["dependencies"]["vacancy"] == "healthy")
        return answer.status == 200

    unready = faults.json_answer('{"status":"unready","service":"vacancy","dependencies":{"vacancy":"unhealthy"}}',
                                 "503 Service Unavailable")
    assert eventually(ready, "ready")
    for fault in (faults.answers_instead(unready), faults.closes_at_once,
                  faults.answers_instead(faults.json_answer("rubbish")),
                  faults.answers_instead(faults.json_answer("{}", "500 Internal Server Error"))):
        one.proxy.fault_of_all = fault
        eventually(lambda: not ready(), "not ready")
        one.proxy.fault_of_all = faults.passes
        eventually(ready, "ready again")
    one.proxy.refuse()
    eventually(lambda: not ready(), "not ready")
    one.proxy.listen_again()
    eventually(ready, "ready again")


# A vacancy pool that never answers makes the ticket pool unready, and keeps nobody waiting for ever.
def test_ready_and_silence(shop):
    one = shop(VACANCY_TIMEOUT=0.5 * SLOW, BREAKER_OPEN_SECONDS=0.1)
    one.proxy.fault_of_all = faults.swallows_request
    eventually(lambda: one.server.ask("GET", "/ready").status == 503, "not ready")
    assert one.server.ask("GET", "/health").status == 200
    one.proxy.fault_of_all = faults.passes
    eventually(lambda: one.server.ask("GET", "/ready").status == 200, "ready again")


# However often /ready is asked, by however many, the vacancy pool is asked at most four times a second.
def test_probes_are_few(shop):
    one = shop()
    clients = [one.server.connect(PURCHASE) for _ in range(8)]
    asked = 0
    try:
        before, begun = len(probes(one.proxy)), time.monotonic()
        while len(probes(one.proxy)) < before + 6:
            for client in clients:
                client.send(request_bytes("GET", "/ready"))
            for client in clients:
                assert client.answer().status == 200
            asked += len(clients)
            assert time.monotonic() - begun < 30 * SLOW, "nobody asks the vacancy pool"
        count, elapsed = len(probes(one.proxy)) - before, time.monotonic() - begun
    finally:
        for client in clients:
            client.close()
    # the first may come at once, and the last may be under way
    assert count <= elapsed / PROBE_S + 2, (count, elapsed)
    assert asked > 10 * count, "too few asked to tell"
