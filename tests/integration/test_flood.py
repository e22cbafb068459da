"""Floods of requests with keys: on a sold-out event they cost look-ups, not entries, and no memory."""

import itertools
import re
import threading
import time

import pytest

from durability import Ledger, buy
from harness import LONG, SELL_PATH, SLOW, Client, request_bytes, session_members

DURATION_S = 20 if LONG else 3
THREADS = 4
PIPELINED = 50
# What a tree may grow by in a flood, buffers of connections included.
GROWTH_MAX_KB = 8192
SOLD_OUT = b'{"success":false,"remaining":0,"message":"Insufficient inventory"}'


def memory_kb(server):
    """What all processes of the tree use, shared pages counted once."""
    total = 0
    for pid in session_members(server.master_pid):
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += int(re.search(r"^Pss:\s+(\d+) kB", file.read(), re.MULTILINE)[1])
    return total


class Flood:
    """Threads that send keys as fast as they can, and hold every answer against the one expected."""

    def __init__(self, server, next_key, expected, duration_s):
        self.address, self.next_key, self.expected = server.address_for(SELL_PATH), next_key, expected
        self.answers, self.wrong = 0, []
        self._end = time.monotonic() + duration_s
        self._lock = threading.Lock()
        threads = [threading.Thread(target=self._run, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run(self):
        try:
            with Client(self.address) as client:
                while time.monotonic() < self._end and not self.wrong:
                    client.send(b"".join(
                        request_bytes("POST", SELL_PATH, b'{"qty":1}', {"Idempotency-Key": self.next_key()})
                        for _ in range(PIPELINED)))
                    answers = [client.answer() for _ in range(PIPELINED)]
                    with self._lock:
                        self.answers += PIPELINED
                        self.wrong += [answer for answer in answers
                                       if answer.status != 200 or answer.body != self.expected]
        except OSError as error:
            self.wrong.append(error)


@pytest.fixture
def sold_out(start, tmp_path):
    """A server that has sold its one ticket, its ledger, and the answer that sold it."""
    ledger = Ledger(tmp_path)
    # Looking keys up at random touches the whole index in the end: a small one, so that this is done
    # soon, and what grows then is something else.
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=1, IDEMPOTENCY_KEYS_MAX=100000)
    with server.connect(SELL_PATH) as client:
        first = buy(client, "first")
    assert first.json()["success"] is True
    ledger.settled(1, 1)
    return server, ledger, first


def flood(sold_out, next_key, expected):
    """Floods once to warm up and once to measure."""
    server, ledger, _ = sold_out
    sequence = ledger.event()["sequence"]
    Flood(server, next_key, expected, 1)
    before = memory_kb(server)
    measured = Flood(server, next_key, expected, DURATION_S)
    assert not measured.wrong, measured.wrong[:3]
    assert measured.answers > 500 * DURATION_S / SLOW, f"{measured.answers} answers are no flood"
    assert ledger.event()["sequence"] == sequence, "a request that sold nothing took an entry"
    if SLOW == 1:  # a sanitizer keeps what is freed
        assert memory_kb(server) - before <= GROWTH_MAX_KB, f"{measured.answers} answers"
    ledger.settled(1, 1)


# Ever new keys on a sold-out event.
def test_new_keys(sold_out):
    numbers = itertools.count()
    flood(sold_out, lambda: f"flood-{next(numbers)}", SOLD_OUT)


# One key that has sold nothing, again and again.
def test_one_key(sold_out):
    flood(sold_out, lambda: "late", SOLD_OUT)


# One key that has sold, again and again: its order each time.
def test_one_key_that_sold(sold_out):
    flood(sold_out, lambda: "first", sold_out[2].body)
