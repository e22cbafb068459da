#!/usr/bin/env python3
"""crowd and what is made of its figures: that no stall hides, that counts add up, that a sell-out
is judged by the books.

Called with the directory of the bench's executables."""

import pathlib
import re
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import crowd, k6, latency, load, procs, sellout  # noqa: E402
from bench.procs import BenchError  # noqa: E402
from bench.targets import ON_DISK, PURCHASE, Server, microservices, running, ticketd  # noqa: E402

BUILD = pathlib.Path("build")
SOLD = '{"success":true}'
SOLD_OUT = '{"success":false}'


def answer(body, status="200 OK", head=""):
    text = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{head}"
    return f"{text}Content-Length: {len(body)}\r\n\r\n{body}".encode()


class Scripted:
    """A server whose `play` gets the number of a request, from 1, and its text, and returns the
    bytes of the answer, None to close all connections.  One request at a time, of all connections.
    """

    def __init__(self, play):
        self.play = play
        self.count = 0
        self.one_at_a_time = threading.Lock()
        self.opened = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.opened.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        try:
            while text := connection.recv(65536):
                with self.one_at_a_time:
                    self.count += 1
                    said = self.play(self.count, text.decode())
                    if said is None:
                        self.close()
                        return
                connection.sendall(said)
        except OSError:
            pass  # the client is gone, or close() was called

    def close(self):
        for each in (self.listener, *self.opened):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed by the client
            each.close()


class CrowdCase(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(dir=BUILD)
        self.addCleanup(scratch.cleanup)
        self.bench = types.SimpleNamespace(
            build=str(BUILD), scratch=scratch.name, server_cpu=0, load_cpu=0, warmup_s=1, seconds=1
        )

    def scripted(self, play):
        server = Scripted(play)
        self.addCleanup(server.close)
        return server

    def open_loop(self, port, rate, connections):
        return crowd.open_loop(self.bench, port, PURCHASE, rate, None, connections)

    def sell_out(self, port, connections):
        return crowd.sell_out(self.bench, port, PURCHASE, connections, 30)


class OpenLoop(CrowdCase):
    # Against a real server every request that was due is accounted for, the warm-up's aside.
    def test_counts_add_up(self):
        floor = Server(
            name="floor",
            commands=lambda place: [[f"{BUILD}/tests/bench/floor-h2o", str(place.port())]],
            needs=(),
            pinning="any",
        )
        with running(floor, self.bench) as server:
            found = self.open_loop(server.port, 2000, 50)
        self.assertEqual(found["requests"] + found["errors"] + found["unsent"], 2000)
        self.assertGreater(found["requests"], 0)
        self.assertEqual(found["refused"], 0)
        self.assertLessEqual(found["p50_us"], found["p99_us"])
        self.assertLessEqual(found["p999_us"], found["max_us"])

    # A stall of 200 ms meets all who come in it: not only the few whose requests were under way,
    # which is all that a tool sees that sends the next one when the answer came.
    def test_stall_is_not_hidden(self):
        def play(number, _text):
            if number == 1500:  # half-way: the warm-up has as many requests as the measured second
                time.sleep(0.2)
            return answer(SOLD)

        found = self.open_loop(self.scripted(play).port, 1000, 4)
        self.assertGreaterEqual(found["max_us"], 150_000)
        self.assertGreaterEqual(found["p999_us"], 150_000)
        # 100 of 1,000 came in the first half of the stall.
        self.assertGreaterEqual(found["p99_us"], 90_000)

    # A stall in the warm-up is not counted, and neither is what went wrong there.
    def test_warmup_is_not_counted(self):
        def play(number, _text):
            return answer("{}", "503 Service Unavailable") if number <= 100 else answer(SOLD)

        found = self.open_loop(self.scripted(play).port, 200, 4)
        self.assertEqual((found["requests"], found["refused"]), (200, 0))
        self.assertEqual(found["warmup_wrong"], 100)

    # What is answered but refused is told: by its status, or by what the answer says.
    def test_refused(self):
        def play(number, _text):
            if number <= 200:
                return answer(SOLD)
            return answer(SOLD_OUT) if number % 2 else answer("{}", "503 Service Unavailable")

        found = self.open_loop(self.scripted(play).port, 200, 1)
        self.assertEqual((found["requests"], found["refused"], found["errors"]), (200, 200, 0))

    # A server that goes away ends the run; what it had not answered is an error, the rest unsent.
    def test_server_goes_away(self):
        def play(number, _text):
            return answer(SOLD) if number < 1500 else None

        found = self.open_loop(self.scripted(play).port, 1000, 4)
        self.assertIn(found["requests"], range(1, 500))  # an answer may be lost with the connection
        self.assertGreaterEqual(found["errors"], 1)
        self.assertGreater(found["unsent"], 0)
        self.assertEqual(found["requests"] + found["errors"] + found["unsent"], 1000)

    # No answer at all: what waits in vain enters the percentiles with its wait.
    def test_waiting_in_vain(self):
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        found = self.open_loop(silent.getsockname()[1], 10, 20)
        self.assertEqual((found["requests"], found["errors"]), (0, 10))
        self.assertGreaterEqual(found["p50_us"], 5_000_000)

    # An answer that is none is an error, not a success.
    def test_nonsense(self):
        found = self.open_loop(self.scripted(lambda *_: b"nonsense\r\n\r\n").port, 20, 20)
        self.assertEqual((found["requests"], found["errors"] + found["unsent"]), (0, 20))


class RateByK6(CrowdCase):
    # k6's summary is read as crowd's line is: without the warm-up, and with what was refused.
    @unittest.skipUnless(k6.find(), f"k6 is missing ({k6.HINT})")
    def test_summary(self):
        def play(number, _text):
            return answer(SOLD) if number % 2 else answer("{}", "503 Service Unavailable")

        port = self.scripted(play).port
        command = latency.k6_command(k6.find(), port, 100, self.bench)
        found = load.parse_result(procs.run(command, 60))
        # Of about 200, as k6 rounds them, half are the warm-up's.
        self.assertIn(found["requests"] + found["unsent"], range(95, 106))
        self.assertIn(found["errors"], range(1, found["requests"]))
        self.assertLessEqual(found["p50_us"], found["max_us"])
        self.assertGreater(found["p50_us"], 0)


class SellOut(CrowdCase):
    # Each purchase has a key of its own; only one that was refused is asked again with the same.
    def test_keys(self):
        keys = []

        def play(number, text):
            keys.append(re.search(r'Idempotency-Key: "([0-9a-f]{32})"', text)[1])
            if number == 3:
                return answer("{}", "503 Service Unavailable")
            return answer(SOLD) if number < 50 else answer(SOLD_OUT)

        found = self.sell_out(self.scripted(play).port, 1)
        self.assertEqual(keys[2], keys[3])
        self.assertEqual(len(set(keys)), len(keys) - 1)
        self.assertEqual((found["sold"], found["refused"], found["sold_out"]), (48, 1, 1))
        self.assertEqual(found["requests"], 50)

    # A connection that breaks leaves a purchase without an answer, which is told.
    def test_server_goes_away(self):
        found = self.sell_out(self.scripted(lambda n, _: answer(SOLD) if n < 100 else None).port, 4)
        self.assertEqual((found["errors"], found["sold_out"]), (4, 0))
        self.assertIn(found["sold"], range(1, 100))

    # A closed connection after a success is a buyer lost: it does not pass for the end.
    def test_server_closes(self):
        closing = answer(SOLD, head="Connection: close\r\n")
        found = self.sell_out(self.scripted(lambda *_: closing).port, 4)
        self.assertEqual((found["sold"], found["errors"], found["sold_out"]), (4, 4, 0))

    # Real servers, both modes: exactly the stock is sold, and exactly that is on the disk.
    def test_books(self):
        size = {"workers": 2, "pinning": "any", "ledger": ON_DISK, "stock": 500}
        for server in (ticketd(**size), microservices(**size)):
            with self.subTest(server=server.name):
                found = sellout.measure(server, self.bench, tickets=500, connections=20)
                self.assertEqual((found["sold"], found["orders"]), (500, 500))

    # Should the clients be told of more or less than there was, that is an error of the bench.
    def test_another_stock(self):
        size = {"workers": 1, "pinning": "any", "ledger": ON_DISK, "stock": 30}
        with self.assertRaisesRegex(BenchError, "30 sales of 31 tickets"):
            sellout.measure(ticketd(**size), self.bench, tickets=31, connections=3)

    # A lost order is found by the count and by the audit.
    def test_lost_order(self):
        size = {"workers": 1, "pinning": "any", "ledger": ON_DISK, "stock": 30}
        with running(ticketd(**size), self.bench) as server:
            self.sell_out(server.port, 3)
            server.started.stop()
            ledger = server.scratch / "ledger.db"
            sellout.check_orders(sellout.orders_in(ledger), 30)
            sellout.audit(BUILD, ledger)
            with sqlite3.connect(ledger) as database:
                database.execute("DELETE FROM entries WHERE id = 7")
            database.close()
            with self.assertRaisesRegex(BenchError, "29 orders with 29 keys and 29 tickets"):
                sellout.check_orders(sellout.orders_in(ledger), 30)
            with self.assertRaises(BenchError):
                sellout.audit(BUILD, ledger)

    # Purchases without an answer and buyers that were never refused are errors, too.
    def test_unfinished(self):
        whole = {"errors": 0, "sold": 9, "sold_out": 3}
        sellout.check_sold(whole, 9, 3)
        for wrong in ({"errors": 1}, {"sold_out": 2}, {"sold": 10}):
            with self.subTest(wrong=wrong), self.assertRaises(BenchError):
                sellout.check_sold({**whole, **wrong}, 9, 3)

    # One slow round is told beside the median, and refusals are summed up.
    def test_summed_up(self):
        each = {**dict.fromkeys(sellout.MEDIANS, 1), "refused": 1, "foreign_cpus": 0}
        visits = [{**each, "seconds": seconds} for seconds in (1, 1.5, 2.5)]
        found = sellout.summed_up("monolith", visits)
        self.assertEqual((found["seconds"], found["seconds_max"], found["met"]), (1.5, 2.5, 2))
        self.assertEqual(found["refused"], 3)


class Latency(unittest.TestCase):
    # No median hides what went wrong in one round.
    def test_summed_up(self):
        each = {**dict.fromkeys(latency.FIGURES, 5), "rate": 10, "foreign_cpus": 0.0}
        whole = {**each, "unsent": 0, "errors": 0, "refused": 0, "warmup_wrong": 0}
        wrong = {**whole, "unsent": 3, "errors": 1, "refused": 2, "warmup_wrong": 4, "p99_us": 90}
        found = latency.summed_up([whole, wrong, whole])
        self.assertEqual((found["unsent"], found["errors"], found["p99_us"]), (3, 7, 5))

    # The goal is judged at half the peak of the durable row, in syncs of this disk.
    def test_goal(self):
        rows = [
            {"row": row.name, "fraction": part, "p99_us": part * 10_000}
            for row in latency.ROWS
            for part in latency.FRACTIONS
        ]
        self.assertEqual(latency.judge(rows, 1000), {"p99_ms": 5, "limit_ms": 4})
        self.assertIsNone(latency.judge([], 1000))

    # Every row that the bench names is one that the peers measure.
    def test_rows(self):
        self.assertEqual({row.name for row in latency.ROWS}, set(latency.NAMES))
        self.assertIn(latency.GOAL_ROW, latency.NAMES)
        self.assertIn(latency.GOAL_FRACTION, latency.FRACTIONS)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        BUILD = pathlib.Path(sys.argv.pop(1)).parent.parent
    unittest.main()
