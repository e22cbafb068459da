"""What a crowd that listens costs: its memory, its CPU while nothing happens, and what a purchase
costs while each of them hears of the sales a few times a second.

Each round takes a fresh server with one worker: purchases alone, then the streams are opened, then
they are silent for one heartbeat, then purchases again.  Nobody reads the streams meanwhile, so that
the load's core is wrk's alone; what has come is counted afterwards."""

import resource
import socket
import statistics
import time

from . import figures, load, procs, report, visit
from .procs import BenchError
from .report import say
from .targets import AVAILABLE, PURCHASE, describe, running, ticketd

STREAM = AVAILABLE.path + "/stream"
STREAMS = 5_000
HEARTBEAT_S = 10  # as long as the silence that is measured, so that each stream has one in it
SETTLE_S = 1.0
TIMEOUT_S = 10
CPU_GOAL = 1.2
REQUEST = f"GET {STREAM} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


class Listeners:
    """Streams that are open until the `with` block is left; read only when they are asked."""

    def __init__(self, port, count):
        self.port, self.count = port, count
        self.socks = []

    def __enter__(self):
        try:
            for _ in range(self.count):
                self.socks.append(socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S))
                self.socks[-1].sendall(REQUEST)
            for sock in self.socks:
                if not self._first(sock).startswith(b"HTTP/1.1 200 "):
                    raise BenchError("a stream was refused")
                sock.setblocking(False)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_reason):
        for sock in self.socks:
            sock.close()

    @staticmethod
    def _first(sock):
        data = b""
        while b"\ndata: " not in data:
            piece = sock.recv(65536)
            if not piece:
                raise BenchError(f"a stream ended at its beginning: {data[:200]!r}")
            data += piece
        return data

    def events(self):
        """How many have come on each since they were last asked."""
        found = []
        for sock in self.socks:
            data = b""
            try:
                while piece := sock.recv(65536):
                    data += piece
                raise BenchError("a stream has ended")
            except BlockingIOError:
                found.append(data.count(b"\ndata: "))
        return found


def _cpu_s(server):
    return procs.cpu_ns(server.pids()) / 1e9


def _silent(server):
    """CPU seconds a second of all the server's processes while nothing happens."""
    before, began = _cpu_s(server), time.monotonic()
    time.sleep(HEARTBEAT_S)
    return (_cpu_s(server) - before) / (time.monotonic() - began)


def _purchases(server, bench):
    load.wrk(server.port, PURCHASE, bench.warmup_s, {bench.load_cpu})
    before = visit.clocks(_cpu_s(server))
    result = load.wrk(server.port, PURCHASE, bench.seconds, {bench.load_cpu})
    after = visit.clocks(_cpu_s(server))
    return {
        "rps": result["requests"] / (result["duration_us"] / 1e6),
        "p99_us": result["p99_us"],
        **visit.costs(before, after, result["requests"]),
    }


def _round(entry, count, bench):
    with running(entry, bench) as server:
        alone = _purchases(server, bench)
        quiet = _silent(server)
        (worker,) = server.workers()
        before = procs.memory_kib(worker)
        with Listeners(server.port, count) as listeners:
            time.sleep(SETTLE_S)
            held = procs.memory_kib(worker)
            silent = _silent(server)
            listeners.events()
            began = time.monotonic()
            beside = _purchases(server, bench)
            heard_s = time.monotonic() - began
            time.sleep(SETTLE_S)
            heard = listeners.events()
    return {
        "alone": alone,
        "beside": beside,
        "bytes_private": (held["private"] - before["private"]) * 1024 / count,
        "bytes_pss": (held["pss"] - before["pss"]) * 1024 / count,
        "idle_us": (silent - quiet) * 1e6 / count,
        "events": statistics.median(heard) / heard_s,
        "events_least": min(heard) / heard_s,
        "foreign_cpus": max(alone["foreign_cpus"], beside["foreign_cpus"]),
    }


def _row(text, values, form="{:.2f}", goal=None):
    found = figures.summary(values)
    return [
        text,
        form.format(found["median"]),
        f"{form.format(found['min'])}…{form.format(found['max'])}",
        report.goal(found["median"], goal) if goal else "",
    ]


def _print(rounds, count):
    def series(side, key):
        return [found[side][key] for found in rounds]

    rows = [
        _row(
            "CPU a purchase, with / without",
            figures.round_ratios(series("beside", "cpu_us"), series("alone", "cpu_us")),
            goal=CPU_GOAL,
        ),
        _row(
            "p99 of a purchase, with / without",
            figures.round_ratios(series("beside", "p99_us"), series("alone", "p99_us")),
        ),
        _row("CPU µs a purchase, without", series("alone", "cpu_us")),
        _row("CPU µs a purchase, with", series("beside", "cpu_us")),
        _row("p99 ms of a purchase, without", [us / 1000 for us in series("alone", "p99_us")]),
        _row("p99 ms of a purchase, with", [us / 1000 for us in series("beside", "p99_us")]),
        _row("purchases a second, without", series("alone", "rps"), "{:.0f}"),
        _row("purchases a second, with", series("beside", "rps"), "{:.0f}"),
        _row("events a second on each stream", [found["events"] for found in rounds]),
        _row("… on the one with the fewest", [found["events_least"] for found in rounds]),
        _row("CPU µs a second of a silent stream", [found["idle_us"] for found in rounds]),
        _row("bytes a stream, PSS", [found["bytes_pss"] for found in rounds], "{:.0f}"),
        _row("bytes a stream, private", [found["bytes_private"] for found in rounds], "{:.0f}"),
        _row("foreign CPUs", [found["foreign_cpus"] for found in rounds]),
    ]
    report.table([f"{count} streams, one worker", "median", "min…max", "goal"], rows)


def run(bench):
    load.require_wrk()
    count = min(STREAMS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    if count < STREAMS:
        say(f"only {count} streams: the limit of open files is {count + 200}")
    entry = ticketd(
        MAX_CONNECTIONS=2 * count + 500, STREAMS_MAX=count, STREAM_HEARTBEAT=HEARTBEAT_S
    )
    if missing := entry.missing(bench.build):
        say(f"left out: {missing} is missing")
        return {}
    for line in describe(entry, bench):
        say(f"  {line}")
    say(
        f"{bench.rounds} rounds: purchases for {bench.seconds} s, silence for {HEARTBEAT_S} s; "
        f"{count} streams, silence, purchases. {visit.FOREIGN}"
    )
    rounds = []
    for number in range(bench.rounds):
        rounds.append(visit.undisturbed(lambda: _round(entry, count, bench), bench))
        ratio = rounds[-1]["beside"]["cpu_us"] / rounds[-1]["alone"]["cpu_us"]
        say(f"  round {number + 1}: CPU a purchase, with / without: {ratio:.2f}")
    say(
        "CPU: all processes of the server. Of a silent stream: what they use with the streams less "
        "what they use without, one heartbeat a stream in it. Memory: the worker's, without the "
        "kernel's socket buffers."
    )
    say()
    _print(rounds, count)
    return {"streams": count, "rounds": rounds}
