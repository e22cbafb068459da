"""How connections spread over workers that share one listening socket."""

import threading
import time

from . import figures, load, procs, report
from .client import Connection
from .procs import BenchError
from .report import say
from .targets import AVAILABLE, running, ticketd

WORKERS = 4
CONNECTIONS = 64
TIMES = 5
RAMP_STEP_S = 0.005
GOAL = 2


def _wait_for_workers(server):
    """The first worker answers before the last one has started."""
    deadline = time.monotonic() + 5
    while (found := len(server.workers())) != WORKERS:
        if time.monotonic() > deadline:
            raise BenchError(f"{found} workers, {WORKERS} expected")
        time.sleep(0.05)
    time.sleep(0.2)  # and begins to listen a moment after it has its title


def _count(server):
    """Connections that each worker holds, by worker."""
    ours = procs.established_inodes(server.port)
    return [len(procs.socket_inodes(pid) & ours) for pid in server.workers()]


def _settled_count(server, expected):
    """Waits for the connections of the time before to be gone and for these to be accepted."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        counts = _count(server)
        if sum(counts) == expected:
            return counts
        time.sleep(0.05)
    raise BenchError(f"workers hold {counts} connections, {expected} expected")


def _ramp(server):
    """One connection after the other, each with one request."""
    opened = []
    try:
        for _ in range(CONNECTIONS):
            opened.append(Connection(server.port))
            opened[-1].exchange(AVAILABLE)
            time.sleep(RAMP_STEP_S)
        return _settled_count(server, CONNECTIONS)
    finally:
        for connection in opened:
            connection.close()


def _at_once(server):
    """All connected before any asks; then all ask together."""
    opened = []
    try:
        for _ in range(CONNECTIONS):
            opened.append(Connection(server.port))
        for connection in opened:
            connection.send(AVAILABLE)
        for connection in opened:
            connection.receive()
        return _settled_count(server, CONNECTIONS)
    finally:
        for connection in opened:
            connection.close()


def _under_load(server):
    """wrk's connections, counted while it runs."""
    failed = []

    def work():
        try:
            load.wrk(server.port, AVAILABLE, 2, None, CONNECTIONS)
        except BenchError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        time.sleep(1)
        counts = _count(server)
    finally:
        thread.join()
    if failed:
        raise failed[0]
    return counts


WAYS = {"in a ramp": _ramp, "all at once": _at_once, "under wrk": _under_load}


def run(bench):
    load.require_wrk()
    entry = ticketd(workers=WORKERS, pinning="any")
    if missing := entry.missing(bench.build):
        say(f"left out: {missing} is missing")
        return {}
    results, lines = [], []
    with running(entry, bench) as server:
        _wait_for_workers(server)
        for way, connect in WAYS.items():
            for number in range(TIMES):
                _settled_count(server, 0)
                counts = connect(server)
                ratio = figures.busiest_to_quietest(counts)
                results.append({"way": way, "counts": counts})
                lines.append(
                    [
                        f"{way}, {number + 1}",
                        " ".join(f"{n:3}" for n in counts),
                        f"{ratio:.2f}",
                        report.goal(ratio, GOAL),
                    ]
                )
    report.table(
        [f"{CONNECTIONS} connections, {WORKERS} workers", "each", "busiest/quietest", "goal"], lines
    )
    return {"times": results}
