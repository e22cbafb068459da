"""Memory over minutes of mixed load: flat, or not.

wrk keeps the server busy with a rotation of good and bad requests; threads here add what wrk
cannot: clients that dribble, that go away in the middle, that open and close."""

import collections
import contextlib
import socket
import statistics
import struct
import tempfile
import threading
import time

from . import figures, load, procs, report
from .client import Connection, Request
from .procs import BenchError
from .report import say
from .targets import AVAILABLE, ON_DISK, PURCHASE, running, ticketd

MIXED_CONNECTIONS = 32
SLOW_CLIENTS = 4
SAMPLE_S = 5
SETTLING = 0.2  # the first part of the run is warm-up: buffers and pools find their size
FLAT_KIB = 64
FLAT_SHARE = 0.01
# What a public server meets, in a fixed rotation.
MIXED = (
    AVAILABLE,
    PURCHASE,
    AVAILABLE,
    Request("POST", PURCHASE.path, '{"qty":2}'),
    Request("GET", "/health"),
    Request("POST", PURCHASE.path, '{"qty":'),
    Request("GET", "/no/such/path"),
    Request("POST", PURCHASE.path, '{"qty":0}'),
)
TOO_LONG = Request("POST", PURCHASE.path, '{"qty":1' + " " * 70_000 + "}")


class Clients:
    """Threads that misbehave until told to stop; counts what they did and what surprised them."""

    def __init__(self, port):
        self.port = port
        self.over = threading.Event()
        self.counts = collections.Counter()
        self.lock = threading.Lock()
        jobs = [self._churn, self._abandon, *[self._dribble] * SLOW_CLIENTS]
        self.threads = [threading.Thread(target=self._repeat, args=(job,)) for job in jobs]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_reason):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _note(self, what):
        with self.lock:
            self.counts[what] += 1

    def _repeat(self, job):
        while not self.over.is_set():
            try:
                job()
            except (OSError, BenchError) as error:
                self._note(f"{job.__name__.strip('_')}: {type(error).__name__}")

    def _churn(self):
        """A connection for one request; now and then with a body over the limit."""
        request = AVAILABLE if self.counts["churn"] % 50 else TOO_LONG
        with Connection(self.port) as connection:
            try:
                status = connection.exchange(request).status
            except OSError:
                if request is not TOO_LONG:
                    raise
                status = 413  # closed while we were still sending
        self._note("churn")
        if status != (413 if request is TOO_LONG else 200):
            self._note(f"churn: unexpected {status}")
        self.over.wait(0.005)

    def _abandon(self):
        """A purchase whose answer nobody reads: the connection is reset at once, or after half."""
        whole = PURCHASE.bytes()
        for size in (len(whole), len(whole) // 2):
            with Connection(self.port) as connection:
                connection.sock.sendall(whole[:size])
                # Linger 0: closing sends a reset.
                connection.sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self._note("abandon")
            self.over.wait(0.02)

    def _dribble(self):
        """A purchase sent byte by byte, and a head that never ends, until the server gives up."""
        with Connection(self.port) as connection:
            for byte in PURCHASE.bytes():
                connection.sock.sendall(bytes([byte]))
                if self.over.wait(0.01):
                    return
            connection.receive()
        with Connection(self.port) as connection:
            connection.sock.sendall(b"GET /api/v1/available HTTP/1.1\r\nHost: 12")
            connection.sock.settimeout(0.5)
            for _ in range(20):
                with contextlib.suppress(TimeoutError):
                    if connection.sock.recv(4096) == b"":
                        break
                if self.over.is_set():
                    return
        self._note("dribble")


def _sample(pids):
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found[pid] = {**procs.memory_kib(pid), "fds": procs.descriptor_count(pid)}
    return found


def _watch(server, mixed, seconds):
    """Samples until the load ends: [(seconds since the start, {pid: memory})]."""
    pids = server.pids()
    began = time.monotonic()
    step = min(SAMPLE_S, seconds / 20)
    samples = []
    while not mixed.exited():
        now = time.monotonic() - began
        samples.append((now, _sample(pids)))
        if now > seconds + 30:
            raise BenchError("the mixed load does not end")
        time.sleep(step)
    if server.pids() != pids:
        raise BenchError(f"processes ended or began: {pids} then, {server.pids()} now")
    return pids, samples


def judge(times, values):
    """What the samples after the settling time say about growth."""
    start = next(i for i, at in enumerate(times) if at >= times[-1] * SETTLING)
    times, values = times[start:], values[start:]
    tail = max(1, len(values) // 10)
    first, last = statistics.median(values[:tail]), statistics.median(values[-tail:])
    per_second = figures.slope(times, values)
    growth = per_second * (times[-1] - times[0])
    return {
        "start": first,
        "end": last,
        "per_hour": per_second * 3600,
        "growth": growth,
        "flat": growth <= max(FLAT_KIB, FLAT_SHARE * first),
    }


def _judge_all(pids, samples):
    times = [at for at, _ in samples]
    results = []
    for pid in pids:
        verdict = {
            key: judge(times, [found[pid][key] for _, found in samples])
            for key in ("anonymous", "pss", "fds")
        }
        results.append({"pid": pid, "title": procs.title(pid), **verdict})
    return results


def _print_results(results):
    lines = []
    for result in results:
        anonymous, pss, fds = result["anonymous"], result["pss"], result["fds"]
        lines.append(
            [
                result["title"],
                f"{anonymous['start']:.0f}",
                f"{anonymous['end']:.0f}",
                f"{anonymous['per_hour']:+.0f}",
                "flat" if anonymous["flat"] else "GROWS",
                f"{pss['start']:.0f}",
                f"{pss['end']:.0f}",
                f"{fds['start']:.0f}",
                f"{fds['end']:.0f}",
            ]
        )
    report.table(
        [
            "process",
            "anonymous KiB: start",
            "end",
            "per hour",
            "verdict",
            "PSS start",
            "end",
            "fds start",
            "end",
        ],
        lines,
    )


def run(bench):
    load.require_wrk()
    entry = ticketd(pinning="any", ledger=ON_DISK, REQUEST_TIMEOUT=5)
    if missing := entry.missing(bench.build):
        say(f"left out: {missing} is missing")
        return {}
    seconds = max(10, round(bench.minutes * 60))
    say(
        f"{seconds} s of mixed load, sales on disk: wrk with {MIXED_CONNECTIONS} connections, "
        f"{SLOW_CLIENTS} slow clients, one that abandons, one that opens and closes."
    )
    with running(entry, bench) as server, tempfile.NamedTemporaryFile("w+") as said:
        command = load.wrk_command(server.port, MIXED, seconds, MIXED_CONNECTIONS)
        with procs.Started([command], cpus={bench.load_cpu}, output=said) as mixed:
            with Clients(server.port) as clients:
                pids, samples = _watch(server, mixed, seconds)
            results = _judge_all(pids, samples)
        said.seek(0)
        mixed_result = load.parse_result(said.read())
    say(
        f"wrk: {mixed_result['requests']} requests, {mixed_result['refused']} refused as they "
        f"should be, {mixed_result['errors']} broken. Others: "
        + ", ".join(f"{name} {count}" for name, count in sorted(clients.counts.items()))
    )
    say(
        f"Flat: the fitted growth after the first {SETTLING:.0%} of the run is at most "
        f"{FLAT_KIB} KiB or {FLAT_SHARE:.0%} of the start, whichever is more."
    )
    say()
    _print_results(results)
    return {
        "seconds": seconds,
        "wrk": mixed_result,
        "clients": dict(clients.counts),
        "processes": results,
        "samples": [{"at": at, "processes": found} for at, found in samples],
    }
