"""The last ticket: many connections over many workers race for it, and exactly one gets it."""

import os
import random
import signal
import threading

import pytest

from harness import AVAILABLE, LONG, MICROSERVICES, PURCHASE, RESERVE, SELL_PATHS, pool_of, request_bytes


def race(server, requests, connections, path=RESERVE):
    """Opens every connection first, and sends all requests while the workers are stopped; then lets
    the workers go at once, so that they, and not the sender, set the pace; then reads the answers.

    requests: one list of request bytes for each connection.  Returns a list of answers for each."""
    clients = [server.connect(path) for _ in range(connections)]
    try:
        for client in clients:
            assert client.ask("GET", "/health").status == 200
        workers = server.workers(pool_of(path))
        try:
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            for client, batch in zip(clients, requests):
                client.send(b"".join(batch))
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        return [[client.answer() for _ in batch] for client, batch in zip(clients, requests)]
    finally:
        for client in clients:
            client.close()


class Watcher:
    """Looks at the stock all the time: it never goes up and never below nothing."""

    def __init__(self, server):
        self.server, self.seen = server, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with self.server.connect() as client:
            while not self._stop.is_set():
                self.seen.append(client.ask("GET", AVAILABLE).json()["qty"])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(10)
        assert self.seen and min(self.seen) >= 0
        assert self.seen == sorted(self.seen, reverse=True), "an observer saw the stock go up"


# One ticket each: 100 are sold, each place once, and all the others hear the truth.
@pytest.mark.parametrize("path", [RESERVE, PURCHASE])
@pytest.mark.parametrize("again", range(10 if LONG else 3))
def test_exactly_the_stock(start, path, again):
    server = start(INITIAL_STOCK=100, WORKERS=4)
    buy = request_bytes("POST", path, {"qty": 1})
    with Watcher(server):
        answers = sum(race(server, [[buy] * 5 for _ in range(64)], 64, path), [])
    said = [answer.json() for answer in answers]
    assert all(answer.status == 200 for answer in answers)
    won = [one for one in said if one["success"]]
    assert sorted(one["remaining"] for one in won) == list(range(100))
    assert all(one["remaining"] == 0 for one in said if not one["success"])
    assert len(said) - len(won) == 64 * 5 - 100
    assert server.available() == 0


# Long enough for two workers to meet in the same nanosecond: every place is sold once.
@pytest.mark.parametrize("path", SELL_PATHS)
@pytest.mark.parametrize("again", range(8 if LONG else 3))
def test_no_place_twice(start, path, again):
    server = start(INITIAL_STOCK=15000, WORKERS=4)
    buy = request_bytes("POST", path, {"qty": 1})
    answers = sum(race(server, [[buy] * 300 for _ in range(64)], 64, path), [])
    won = sorted(said["remaining"] for said in (answer.json() for answer in answers) if said["success"])
    assert won == list(range(15000))
    assert server.available() == 0


# A single ticket, many times over: never two winners, never none.
@pytest.mark.parametrize("path", SELL_PATHS)
@pytest.mark.parametrize("again", range(20 if LONG else 4))
def test_single_ticket(start, path, again):
    server = start(INITIAL_STOCK=1, WORKERS=4)
    buy = request_bytes("POST", path, {"qty": 1})
    answers = sum(race(server, [[buy]] * 64, 64, path), [])
    assert [answer.json()["success"] for answer in answers].count(True) == 1
    assert server.available() == 0


# Different quantities: no sale takes what is not there, no refusal is a lie, and the sum is exact.
@pytest.mark.parametrize("path", SELL_PATHS)
@pytest.mark.parametrize("seed", range(10 if LONG else 3))
def test_mixed_quantities(start, path, seed):
    rng = random.Random(seed)
    server = start(INITIAL_STOCK=1000, WORKERS=4)
    quantities = [[rng.randint(1, 17) for _ in range(8)] for _ in range(48)]
    # where one process serves both, they meet in it
    mixed = [path] if MICROSERVICES else [RESERVE, PURCHASE]
    batches = [[request_bytes("POST", rng.choice(mixed), {"qty": qty}) for qty in batch] for batch in quantities]
    with Watcher(server):
        answers = race(server, batches, 48, path)
    sold = 0
    ends = []
    for batch, told in zip(quantities, answers):
        for qty, answer in zip(batch, told):
            one = answer.json()
            if one["success"]:
                sold += qty
                ends.append((one["remaining"], qty))
            else:
                assert one["remaining"] < qty, one
    # each sale begins where the one before it ended: put in order they tile the stock
    left = 1000
    for remaining, qty in sorted(ends, reverse=True):
        assert remaining + qty == left, (remaining, qty, left)
        left = remaining
    assert left == 1000 - sold == server.available()


# The largest stock and the largest orders do not overflow.
@pytest.mark.parametrize("path", SELL_PATHS)
def test_large_numbers(start, path):
    server = start(INITIAL_STOCK=2147483647, WORKERS=4)
    buy = request_bytes("POST", path, {"qty": 2147483647 // 10})
    said = [answer.json() for answer in sum(race(server, [[buy]] * 32, 32, path), [])]
    assert [one["success"] for one in said].count(True) == 10
    assert server.available() == 2147483647 - 10 * (2147483647 // 10)
