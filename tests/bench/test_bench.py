#!/usr/bin/env python3
"""The bench's own parts: that the floors speak HTTP/1.1 correctly and that the figures are right.

Called with the directory of the floors' executables."""

import os
import pathlib
import select
import socket
import subprocess
import sys
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import figures, instructions, load, procs, soak  # noqa: E402
from bench.client import Connection, Request  # noqa: E402
from bench.targets import AVAILABLE, PURCHASE  # noqa: E402

FLOORS = pathlib.Path(os.environ.get("FLOORS", "build/tests/bench"))
QTY = b'{"qty":1999999999}'
SOLD = b'{"success":true,"remaining":1999999998,"message":"Purchase successful!"}'


class FloorCase:
    """Both floors answer alike; what only one promises is in its own class."""

    kind = ""

    def setUp(self):
        self.server = subprocess.Popen([FLOORS / f"floor-{self.kind}", "0"], stdout=subprocess.PIPE)
        self.addCleanup(self.server.stdout.close)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.terminate)
        self.port = int(self.server.stdout.readline().rpartition(b":")[2])

    def open(self):
        connection = Connection(self.port, timeout_s=5)
        self.addCleanup(connection.close)
        return connection

    # The two fixed answers, several times on one connection.
    def test_keepalive(self):
        connection = self.open()
        for _ in range(3):
            self.assertEqual(connection.exchange(AVAILABLE).body, QTY)
            self.assertEqual(connection.exchange(PURCHASE).body, SOLD)

    # A request in pieces of one byte is one request.
    def test_partial_input(self):
        connection = self.open()
        for byte in PURCHASE.bytes():
            connection.sock.sendall(bytes([byte]))
        self.assertEqual(connection.receive().body, SOLD)
        self.assertEqual(connection.exchange(AVAILABLE).body, QTY)

    # Requests that arrive together are answered in order, bodies and all.
    def test_pipelined(self):
        connection = self.open()
        connection.sock.sendall((PURCHASE.bytes() + AVAILABLE.bytes()) * 50)
        for _ in range(50):
            self.assertEqual(connection.receive().body, SOLD)
            self.assertEqual(connection.receive().body, QTY)

    def test_unknown_path_and_wrong_method(self):
        self.assertEqual(self.open().exchange(Request("GET", "/other")).status, 404)
        self.assertEqual(self.open().exchange(Request("GET", PURCHASE.path)).status, 404)


class EpollFloor(FloorCase, unittest.TestCase):
    kind = "epoll"

    # Megabytes of pipelined requests while nobody reads: full sockets lose and repeat nothing.
    def test_client_that_reads_late(self):
        connection = self.open()
        sock = connection.sock
        answer = connection.exchange(PURCHASE)
        count = 200_000
        rest = memoryview(PURCHASE.bytes() * count)
        sock.settimeout(0.2)
        with self.assertRaises(TimeoutError):  # the server stops reading, as it should
            while True:
                rest = rest[sock.send(rest) :]
        got = bytearray()
        while rest:
            readable, writable, _ = select.select([sock], [sock], [], 5)
            if readable:
                got += sock.recv(1 << 20)
            if writable:
                rest = rest[sock.send(rest) :]
        sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(1 << 20):
            got += piece
        self.assertEqual(got, (answer.head + answer.body) * count)

    # A body whose end cannot be known, or is too far, is refused and the connection closed.
    def test_refused_bodies(self):
        for header in (
            b"Content-Length: x",
            b"Content-Length: 9000",
            b"Transfer-Encoding: chunked",
            b"Content-Length: -1",
            b"Content-Length:",
        ):
            with self.subTest(header=header):
                connection = self.open()
                connection.sock.sendall(
                    b"POST /api/v1/purchase HTTP/1.1\r\n" + header + b"\r\n\r\n"
                )
                self.assertEqual(connection.receive().status, 400)
                self.assertEqual(connection.sock.recv(1), b"")

    def test_connection_close(self):
        connection = self.open()
        connection.sock.sendall(b"GET /api/v1/available HTTP/1.1\r\nconnection: close\r\n\r\n")
        self.assertEqual(connection.receive().body, QTY)
        self.assertEqual(connection.sock.recv(1), b"")


class H2oFloor(FloorCase, unittest.TestCase):
    kind = "h2o"


class Figures(unittest.TestCase):
    def test_summary(self):
        self.assertEqual(figures.summary([3, 1, 2]), {"median": 2, "min": 1, "max": 3, "spread": 1})

    def test_round_ratios(self):
        self.assertEqual(figures.round_ratios([2, 9], [1, 3]), [2, 3])

    def test_slope(self):
        self.assertAlmostEqual(figures.slope([0, 1, 2], [5, 7, 9]), 2)
        self.assertEqual(figures.slope([1], [5]), 0)

    def test_fairness(self):
        self.assertEqual(figures.busiest_to_quietest([10, 20]), 2)
        self.assertEqual(figures.busiest_to_quietest([0, 20]), float("inf"))

    # A process that grows by 1 KiB a second is not flat; one that settles first is.
    def test_soak_verdict(self):
        times = list(range(600))
        self.assertFalse(soak.judge(times, [2000 + at for at in times])["flat"])
        self.assertTrue(soak.judge(times, [2000 + min(at, 100) for at in times])["flat"])

    def test_wrk_result(self):
        self.assertEqual(
            load.parse_wrk("x\nbench-result requests=5 errors=0\n"), {"requests": 5, "errors": 0}
        )

    def test_perf_result(self):
        self.assertEqual(instructions.parse_perf("123,,instructions,1000,100.00,,\n"), 123)
        self.assertEqual(
            instructions.parse_perf(
                "5,,cpu_core/instructions/,1,1\n7,,cpu_atom/instructions/,1,1\n"
            ),
            12,
        )
        self.assertIsNone(instructions.parse_perf("<not supported>,,instructions,0,100.00,,\n"))


class Processes(unittest.TestCase):
    # Work is seen in the nanoseconds, and a sleeping process costs none.
    def test_cpu_time(self):
        with (
            procs.Started([["sh", "-c", "while :; do :; done"]]) as busy,
            procs.Started([["sleep", "30"]]) as idle,
        ):
            idle_before = procs.cpu_ns(idle.pids())
            load_before = procs.cpu_ns(busy.pids())
            while procs.cpu_ns(busy.pids()) - load_before < 50_000_000:
                pass
            self.assertLess(procs.cpu_ns(idle.pids()) - idle_before, 10_000_000)

    # Leaving the block ends what the command forked, too.
    def test_everything_ends(self):
        stubborn = ["sh", "-c", "trap '' TERM; sleep 30 & sleep 30"]
        with mock.patch.object(procs, "STOP_GRACE_S", 0.2), procs.Started([stubborn]) as started:
            while len(started.pids()) < 3:
                pass
            pids = started.pids()
        self.assertEqual(
            [
                pid
                for pid in pids
                if pathlib.Path(f"/proc/{pid}").exists() and procs.title(pid) == "sleep"
            ],
            [],
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        FLOORS = pathlib.Path(sys.argv.pop(1))
    unittest.main()
