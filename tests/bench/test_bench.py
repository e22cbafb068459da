#!/usr/bin/env python3
"""The bench's own parts: that the floors speak HTTP/1.1 correctly and that the figures are right.

Called with the directory of the floors' executables."""

import os
import pathlib
import select
import socket
import subprocess
import sys
import threading
import tempfile
import time
import types
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import (  # noqa: E402
    disk,
    durable,
    figures,
    hop,
    instructions,
    load,
    pages,
    peers,
    postgres,
    procs,
    proxies,
    recovery,
    repair,
    report,
    requests,
    soak,
    units,
    visit,
)
from bench.client import Answer, Connection, Request  # noqa: E402
from bench.peers import answers  # noqa: E402
from bench.peers import servers as peer_servers  # noqa: E402
from bench.targets import (  # noqa: E402
    AVAILABLE,
    ON_DISK,
    OUTPUT,
    PURCHASE,
    Server,
    describe,
    describe_files,
    microservices,
    running,
    ticketd,
)

FLOORS = pathlib.Path(os.environ.get("FLOORS", "build/tests/bench"))
QTY = b'{"qty":1999999999}'
SOLD = peer_servers.SOLD.encode()


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

    # A floor moves the bytes that ticketd moves: the same fields, as long a body.
    def test_fields(self):
        connection = self.open()
        common = {
            "date",
            "connection",
            "content-length",
            "content-type",
            "x-request-id",
            "access-control-allow-origin",
            "access-control-expose-headers",
        }
        self.assertEqual(answers.fields(connection.exchange(PURCHASE)).keys(), common)
        self.assertEqual(
            answers.fields(connection.exchange(AVAILABLE)).keys(),
            common | {"cache-control", "etag"},
        )


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

    # The nearest of the values themselves, at both ends too.
    def test_percentile(self):
        values = [30, 10, 20, 40]
        found = [figures.percentile(values, percent) for percent in (0, 50, 51, 99, 100)]
        self.assertEqual(found, [10, 20, 30, 40, 40])

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
            load.parse_result("x\nbench-result requests=5 errors=0\n"), {"requests": 5, "errors": 0}
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


PGBENCH = """\
number of transactions actually processed: 2964
number of failed transactions: 0 (0.000%)
latency average = 64.759 ms
initial connection time = 100.1 ms
tps = 988.283461 (without initial connection time)
"""
LOG = """\
{"time":"2026-11-25T19:12:12.723+00:00","pid":1,"message":"worker 0 has pid 17703"}
{"time":"2026-11-25T19:12:12.724+00:00","pid":1,"message":"ready: 1 workers serve"}
not JSON at all
{"time":"2026-11-25T19:12:13.223+00:00","pid":1,"message":"worker 0 has pid 17710"}
"""


class Durability(unittest.TestCase):
    # CPU and p50 are compared within a round and a place, never across them.
    def test_durable_figures(self):
        rounds = {
            case.name: [
                {"cpu_us": cost * number, "rps": 10 / cost, "p50_us": 1000 * cost * number}
                for number in (1, 2)
            ]
            for case in durable.CASES
            for cost in [3 if case.ledger == "durable" else 2]
        }
        found = durable.figures_of(rounds, [500, 250])
        self.assertEqual(found["cpu"], [1.5, 1.5])
        self.assertAlmostEqual(found["throughput"][0], 2 / 3)
        self.assertEqual(found["added, one core"], [2, 8])
        self.assertEqual(found["added, both cores"], [2, 8])

    # What a visit's clocks say: CPU a request, the server's share, what was nobody's of the bench.
    def test_costs(self):
        found = visit.costs((1, 10, 100, 50), (3, 11, 104, 54), 1000)
        self.assertEqual(found, {"cpu_us": 2000, "server_busy": 0.5, "foreign_cpus": 0.25})

    # The gap that a kill falls into counts, and so does one that begins while it is watched.
    def test_longest_gap(self):
        answers = [0, 10, 20, 90, 95, 100, 200]
        self.assertEqual(repair.longest_gap_ns(answers, 25, 96), 70)
        self.assertEqual(repair.longest_gap_ns(answers, 92, 150), 100)
        self.assertEqual(repair.longest_gap_ns(answers, 5, 12), 10)
        self.assertEqual(repair.longest_gap_ns([], 5, 12), 0)

    # A tool that said nothing is an error and not a repair in no time.
    def test_kill_result(self):
        self.assertEqual(
            repair.parse_kill("x\nkill-in-sale killed_ns=5 stamped_us=7\n"),
            {"killed_ns": 5, "stamped_us": 7},
        )
        with self.assertRaises(procs.BenchError):
            repair.parse_kill("")

    # The master's log tells who was forked, and when.
    def test_forks(self):
        (first, *who), (second, *successor) = repair.forks_of(LOG)
        self.assertEqual((who, successor), ([0, 17703], [0, 17710]))
        self.assertAlmostEqual(second - first, 0.5, places=5)

    def test_pgbench_result(self):
        self.assertEqual(
            postgres.parse_pgbench(PGBENCH),
            {"rps": 988.283461, "mean_ms": 64.759, "requests": 2964, "failed": 0},
        )
        with self.assertRaises(procs.BenchError):
            postgres.parse_pgbench("pgbench: error: connection failed")

    # Ours is compared with the better of the others in the same round.
    def test_postgres_ratios(self):
        rounds = {
            name: [{"rps": rate} for rate in rates]
            for name, rates in {"ours": (60, 80), "a": (3, 1), "b": (2, 4)}.items()
        }
        self.assertEqual(postgres.ratios_of(rounds, "ours"), [20, 20])

    # Time on a CPU from start to end points to the processor, otherwise to the disk.
    def test_recovery_bound(self):
        slow = {"cpu_s": 1, "ready_s": 10, "ledger_bytes": 100 * 2**20}
        self.assertIn("10 MiB of ledger a second: bound by the disk", recovery.bound_by(slow))
        self.assertIn("bound by one core", recovery.bound_by({**slow, "cpu_s": 9}))

    # A ledger in a file system that has no disk would make every sync free.
    def test_memory_is_no_disk(self):
        with mock.patch.object(disk, "file_system", return_value="tmpfs"):
            with self.assertRaises(procs.BenchError):
                disk.require_disk(".")
        self.assertEqual(disk.file_system("/proc/self"), "proc")

    # Each server's ledger is in a directory of its own, and memory has none.
    def test_ledger_of_a_server(self):
        self.assertEqual(
            ticketd(ledger=ON_DISK).settings("/some")["LEDGER_URL"], "sqlite:/some/ledger.db"
        )
        self.assertEqual(ticketd().settings("/some")["LEDGER_URL"], "memory:")


ACCESS = [
    b'INFO worker 1 (ticket) [1]: "POST /api/v1/purchase" 200 115 bytes 49 us',
    b'INFO worker 0 (vacancy) [2]: "POST /api/v1/reserve/batch" 200 300 bytes 49 us',
    b'{"pid":3,"message":"\\"POST /api/v1/purchase\\" 200"}',
    b'INFO worker 1 (ticket) [4]: "POST /api/v1/purchase" 200 115 bytes 49 us',
    b'INFO worker 0 (vacancy) [5]: "GET /ready" 200 115 bytes 49 us',
]


class BenchCase(unittest.TestCase):
    """A bench with the fresh build and a scratch directory of its own."""

    def bench(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        return types.SimpleNamespace(
            build=str(FLOORS.parent.parent),
            scratch=os.path.realpath(scratch.name),
            server_cpu=min(os.sched_getaffinity(0)),
        )


class Hop(BenchCase):
    # The load goes to the ticket pool; the vacancy pool has a port of its own.
    def test_ports_of_two_pools(self):
        (line,) = describe(microservices(), self.bench())
        self.assertIn("--ticket-port $PUBLIC_PORT", line)
        self.assertIn("--vacancy-port $VACANCY_PORT", line)

    # A proxy has the public port, and what it is in front of has the one that it forwards to.
    def test_ports_of_a_proxy(self):
        with mock.patch.object(procs, "program", return_value="h2o"):
            backend, _proxy = describe(proxies.h2o_in_front(), self.bench())
        self.assertIn("--monolith-port $BACKEND_PORT", backend)
        (file,) = describe_files(proxies.h2o_in_front(), self.bench())
        self.assertIn("port: $PUBLIC_PORT", file)
        self.assertIn("http://127.0.0.1:$BACKEND_PORT/", file)
        behind, front = describe_files(proxies.NGINX_CHAIN, self.bench())
        self.assertIn("listen 127.0.0.1:$BACKEND_PORT backlog", behind)
        self.assertIn("listen 127.0.0.1:$PUBLIC_PORT backlog", front)
        self.assertIn("server 127.0.0.1:$BACKEND_PORT;", front)

    # A server finds its file, with its ports in it, when it starts.
    def test_files_are_there_at_the_start(self):
        floor = f"{FLOORS}/floor-epoll"
        server = Server(
            name="a server with a file",
            commands=lambda place: [
                ["sh", "-c", f'cat {place.scratch}/conf; exec "$0" {place.port()}', floor]
            ],
            needs=("sh",),
            files=lambda place: {"conf": f"port is {place.port()}\n"},
        )
        with running(server, self.bench()) as one:
            said = (one.scratch / OUTPUT).read_text(encoding="utf-8")
            self.assertIn(f"port is {one.port}", said)

    # Only sides of one round are compared, and what was left out leaves out its figure alone.
    def test_figures(self):
        rounds = {
            case.name: [{"cpu_us": cost, "p50_us": 10 * cost} for cost in costs]
            for case in hop.CASES
            if case.server is not proxies.NGINX_CHAIN
            for costs in [(3, 8) if "two pools" in case.name else (2, 4)]
        }
        found = hop.figures_of(rounds)
        self.assertEqual(found["CPU a purchase, two pools / monolith, memory:"], [1.5, 2])
        self.assertEqual(
            found["p50 of a lone client, two pools / monolith, sqlite:, both cores"], [1.5, 2]
        )
        self.assertEqual(len(found), len(hop.FIGURES) - 1)

    # Every figure has two sides that are measured, under names that do not hide each other.
    def test_sides_of_figures(self):
        names = [case.name for case in hop.CASES]
        self.assertEqual(len(names), len(set(names)))
        for figure in hop.FIGURES:
            self.assertIn(figure.case, names)
            self.assertIn(figure.to, names)

    # What went wrong is summed over the rounds, and only where it may.
    def test_wrong(self):
        rounds = {case.name: [{"errors": 1, "refused": 2}] * 3 for case in hop.CASES}
        wrong = hop.wrong_of(hop.CASES, rounds)
        self.assertEqual(list(wrong.values()), [[3, 6]] * len(hop.LEDGERS))

    # A load that goes wrong is an error, or a figure where it was asked how much goes wrong.
    def test_load_that_goes_wrong(self):
        said = "bench-result requests=5 errors=1 refused=2\n"
        with mock.patch.object(procs, "run", return_value=said):
            with self.assertRaises(procs.BenchError):
                load.wrk(1, PURCHASE, 1, None)
            found = load.wrk(1, PURCHASE, 1, None, strict=False)
        self.assertEqual((found["errors"], found["refused"]), (1, 2))

    # Purchases are counted in the one pool's log, batches in the other's.
    def test_purchases_a_batch(self):
        self.assertEqual(hop.purchases_a_batch(ACCESS), 3)
        self.assertIsNone(hop.purchases_a_batch(ACCESS[:1]))


class Peers(BenchCase):
    # What a file leaves open is filled in, and its comments are not taken for settings.
    def test_configuration_is_complete(self):
        for key, server in peer_servers.SERVERS.items():
            for line in describe_files(server, self.bench()):
                with self.subTest(server=key, file=line.partition(":")[0]):
                    self.assertNotRegex(line, r"@\w+@|#")
                    self.assertEqual(line.count("{"), line.count("}"))
        with self.assertRaises(KeyError):
            peer_servers.fill("nginx-proxy/http.conf", port=1)

    # A hop goes from the public port to the service behind it, of nginx and of FastAPI.
    def test_ports_of_a_hop(self):
        behind, front = describe_files(peer_servers.SERVERS["nginx-proxy"], self.bench())
        self.assertIn("listen 127.0.0.1:$BACKEND_PORT backlog", behind)
        self.assertIn("lua_shared_dict", behind)
        self.assertIn("server 127.0.0.1:$BACKEND_PORT;", front)
        vacancy, ticket = describe(peer_servers.FASTAPI_CHAIN, self.bench())
        self.assertIn("--port $VACANCY_PORT", vacancy)
        self.assertIn("VACANCY_URL=http://127.0.0.1:$VACANCY_PORT", ticket)
        self.assertIn("--port $PUBLIC_PORT", ticket)

    # Only the durable Redis writes, and it syncs each sale.
    def test_durable_redis(self):
        for key, appends in {"nginx-redis": "no", "nginx-redis-durable": "yes"}.items():
            _nginx, redis = describe_files(peer_servers.SERVERS[key], self.bench())
            self.assertIn(f"appendonly {appends} appendfsync always", redis)

    # Every goal has two sides that are measured, under names that do not hide each other.
    def test_sides_of_goals(self):
        names = [row.name for row in peers.ROWS] + list(postgres.SCRIPTS)
        self.assertEqual(len(names), len(set(names)))
        for ratio in peers.RATIOS:
            self.assertIn(ratio.row, names)
            self.assertIn(ratio.to, names)
        self.assertLessEqual({row.server for row in peers.ROWS}, set(peers.ALL_SERVERS))

    # A peer that is not installed leaves out its rows alone, each with what is missing.
    def test_left_out(self):
        servers = {key: Server(key, lambda _place: [], ("sh",)) for key in peers.ALL_SERVERS}
        servers["fastapi"] = Server("gone", lambda _place: [], ("/no/such",))
        with mock.patch.object(requests, "say"):
            rows, left_out = requests.present_rows(peers.ROWS, servers, self.bench())
        expected = {row.name for row in peers.ROWS if row.server == "fastapi"}
        self.assertEqual(left_out, dict.fromkeys(expected, "/no/such is missing"))
        self.assertEqual(len(rows) + len(left_out), len(peers.ROWS))

    # Without PostgreSQL its rows are left out likewise, and nothing is started.
    def test_left_out_database(self):
        left_out = {}
        with (
            mock.patch.object(postgres, "missing", return_value="initdb"),
            mock.patch.object(peers, "say"),
        ):
            self.assertEqual(peers._databases(None, self.bench(), left_out), {})
        self.assertEqual(left_out, dict.fromkeys(postgres.SCRIPTS, "initdb is missing"))

    # A peer that answers less than ticketd would be compared unfairly: it is found out, but for the
    # name that nginx cannot leave out.
    def test_another_answer(self):
        head = b"HTTP/1.1 200 OK\r\nDate: Thu\r\nX-Request-ID: 1234567890abcdef\r\n"
        ours = Answer(200, head + b"\r\n", peer_servers.SOLD.encode())

        def fault(head=ours.head, body=ours.body):
            return answers.differs(Answer(200, head, body), ours)

        self.assertIsNone(fault(body=ours.body.replace(b"9998,", b"9990,")))
        self.assertIsNone(fault(head=head.lower() + b"Server: a name of any length\r\n\r\n"))
        for body in (b"", b"{}", b'{"success":true}', ours.body.replace(b"-8006-", b"")):
            with self.subTest(body=body):
                self.assertIsNotNone(fault(body=body))
        self.assertIn("x-request-id", fault(head=ours.head.replace(b"X-Request", b"Y-Request")))
        self.assertIn("vary", fault(head=head + b"Vary: Origin\r\n\r\n"))
        self.assertIn("bytes instead of", fault(head=ours.head.replace(b"90abcdef", b"")))

    # Everybody is held to ticketd's answer to the same request, and the one who differs is named.
    def test_answers_are_held_to_ours(self):
        ours = peers.ALL_SERVERS["ticketd"].name
        answer = Answer(200, b"HTTP/1.1 200 OK\r\nDate: Thu\r\n\r\n", b'{"qty":1}')
        less = Answer(200, b"HTTP/1.1 200 OK\r\n\r\n", b'{"qty":1}')
        with mock.patch.object(peers, "say"), mock.patch.object(report, "say"):
            peers.check_answers({(ours, AVAILABLE): answer, ("another", AVAILABLE): answer})
            with self.assertRaisesRegex(procs.BenchError, "another.*date"):
                peers.check_answers({(ours, AVAILABLE): answer, ("another", AVAILABLE): less})

    # A purchase is compared with purchases, a look at the stock with the same, round by round.
    def test_times_ours(self):
        costs = {
            peers.IN_MEMORY_ROW: (2, 4),
            peers.DURABLE_ROW: (4, 8),
            peers.AVAILABLE_ROW: (1, 1),
            peers.NGINX_ROW: (8, 16),
            "libh2o, GET": (3, 3),
        }
        rounds = {name: [{"cpu_us": cost} for cost in both] for name, both in costs.items()}
        self.assertEqual(peers.times_ours(rounds, peers.NGINX_ROW), [4, 2])
        self.assertEqual(peers.times_ours(rounds, "libh2o, GET"), [3, None])
        del rounds[peers.DURABLE_ROW]
        self.assertEqual(peers.times_ours(rounds, peers.NGINX_ROW), [4, None])

    # The third column of pgbench's log is the latency, whatever columns follow.
    def test_latencies(self):
        log = "0 1 900 0 1700000000 5\n1 1 100 0 1700000000 9 0\n"
        self.assertEqual(postgres.latencies_us(log), [900, 100])

    # What is downloaded today is what was downloaded when it was measured.
    def test_versions_are_fixed(self):
        text = (peer_servers.HERE / "requirements.txt").read_text(encoding="utf-8")
        for line in text.splitlines():
            self.assertRegex(line, r"^#|^[\w.-]+==[\w.]+$")


class Processes(unittest.TestCase):
    # Programs of root are looked for whoever asks, after those of PATH.
    def test_programs(self):
        with (
            mock.patch.dict(os.environ, {"PATH": "/first"}),
            mock.patch.object(procs.shutil, "which", side_effect=lambda _name, path: path),
        ):
            paths = procs.program("nginx").split(os.pathsep)
        self.assertEqual(paths[0], "/first")
        self.assertIn("/usr/sbin", paths)

    # Threads that have ended are counted: a ledger's thread must not hide what it did.
    def test_cpu_time_of_ended_threads(self):
        def work():
            until = time.thread_time_ns() + 50_000_000
            while time.thread_time_ns() < until:
                pass

        before = procs.cpu_ns([os.getpid()])
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertGreaterEqual(procs.cpu_ns([os.getpid()]) - before, 50_000_000)

    # A helper that ends while memory is summed up spoils no measurement.
    def test_memory_of_an_ended_process(self):
        ended = subprocess.Popen(["true"])
        ended.wait()
        self.assertEqual(procs.pss_kib([ended.pid]), 0)
        self.assertGreater(procs.pss_kib([ended.pid, os.getpid()]), 1000)

    # A program that fails tells its exit status, by which a bench knows that it may not trace.
    def test_exit_status(self):
        with self.assertRaises(procs.CommandError) as caught:
            procs.run(["sh", "-c", "echo no; exit 77"], 10)
        self.assertEqual(caught.exception.status, 77)

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


class GapTest(unittest.TestCase):
    # The gap is one client's own: what others were told meanwhile does not hide it.
    def test_one_client_waits(self):
        place = types.SimpleNamespace(address=None, pool="monolith")
        load = units.buyers(place)
        sold = types.SimpleNamespace(closes=False, status=200, json=lambda: {})
        with (
            mock.patch("unit.time.monotonic", side_effect=[10.0, 10.5, 11.0, 11.2, 14.0]),
            mock.patch("unit.threading.get_ident", side_effect=[1, 2, 2, 2, 1]),
        ):
            for _ in range(5):
                load._count(sold)
        self.assertEqual((load.longest_gap_s, load.answered), (4.0, 5))


class PagesTest(unittest.TestCase):
    # The figures are those that the browser's test prints, whatever pytest prints around them.
    def test_told(self):
        told = (".page: 34695 bytes sent in 6 answers (83646 unpacked), first figures after 200 ms, "
                "first line of a plot after 1201 ms, layout shift 0.0015\n.")
        self.assertEqual(
            pages.parse("s" + told),
            {"bytes": 34695, "files": 6, "unpacked": 83646, "first_ms": 200, "plot_ms": 1201, "shift": 0.0015},
        )
        self.assertIsNone(pages.parse("1 failed"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        FLOORS = pathlib.Path(sys.argv.pop(1))
    unittest.main()
