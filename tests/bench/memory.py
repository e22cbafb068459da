"""Private memory of a worker after load, and what an idle keepalive connection costs it."""

import resource
import time

from . import load, procs, report
from .client import Connection
from .procs import BenchError
from .report import say
from .targets import AVAILABLE, PURCHASE, SERVERS, running, ticketd

IDLE_CONNECTIONS = 10_000
PER_SOURCE = 5_000  # connections from one 127.0.0.x, well below the ports that one address has
SETTLE_S = 1.0
WORKER_GOAL_KIB = 8 * 1024
CONNECTION_GOAL_BYTES = 2 * 1024


def _settings(connections):
    """The same server with room for the idle ones, which must not be timed out meanwhile."""
    return ticketd(MAX_CONNECTIONS=connections + 500, KEEPALIVE_TIMEOUT=600, REQUEST_TIMEOUT=600)


def _measure_all(server):
    time.sleep(SETTLE_S)
    return {pid: {"title": procs.title(pid), **procs.memory_kib(pid)} for pid in server.pids()}


def _open_idle(port, count):
    """Connections that each had one answer and now say nothing."""
    opened = []
    try:
        while len(opened) < count:
            source = f"127.0.0.{2 + len(opened) // PER_SOURCE}"
            connection = Connection(port, source)
            opened.append(connection)
            if connection.exchange(AVAILABLE).status != 200:
                raise BenchError("an idle connection's first request was refused")
    except BaseException:
        _close(opened)
        raise
    return opened


def _close(connections):
    for connection in connections:
        connection.close()


def _run_one(name, server_entry, count, bench):
    with running(server_entry, bench) as server:
        for request in (AVAILABLE, PURCHASE):
            load.wrk(server.port, request, bench.seconds, {bench.load_cpu})
        before = _measure_all(server)
        worker = server.workers()[0]
        connections = _open_idle(server.port, count)
        try:
            held = _measure_all(server)
        finally:
            _close(connections)
        after = _measure_all(server)
    cost = (held[worker]["private"] - before[worker]["private"]) * 1024 / count
    return {
        "server": name,
        "worker": worker,
        "after_load": before,
        "with_idle": held,
        "after_close": after,
        "bytes_per_connection": cost,
    }


def _print_processes(result):
    report.table(
        [
            f"{result['server']}: after load, KiB",
            "private",
            "of it in shared maps",
            "PSS",
            "RSS",
            "goal",
        ],
        [
            [
                m["title"],
                m["private"],
                m["shared_maps"],
                m["pss"],
                m["rss"],
                report.goal(m["private"], WORKER_GOAL_KIB) if pid == result["worker"] else "",
            ]
            for pid, m in result["after_load"].items()
        ],
    )


def _print_connections(results, count):
    report.table(
        [
            f"{count} idle connections",
            "private before KiB",
            "with them",
            "after close",
            "bytes each",
            "goal",
        ],
        [
            [
                r["server"],
                *(
                    r[when][r["worker"]]["private"]
                    for when in ("after_load", "with_idle", "after_close")
                ),
                f"{r['bytes_per_connection']:.0f}",
                report.goal(r["bytes_per_connection"], CONNECTION_GOAL_BYTES),
            ]
            for r in results
        ],
    )


def run(bench):
    load.require_wrk()
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200
    count = min(IDLE_CONNECTIONS, room)
    if count < IDLE_CONNECTIONS:
        say(f"only {count} idle connections: the limit of open files is {room + 200}")
    results = []
    for name, entry in {"ticketd": _settings(count), "libh2o": SERVERS["h2o"]}.items():
        if missing := entry.missing(bench.build):
            say(f"left out: {name} ({missing} is missing)")
            continue
        results.append(_run_one(name, entry, count, bench))
        _print_processes(results[-1])
    say(
        "Private: Private_Clean + Private_Dirty of smaps_rollup; the kernel's socket buffers are "
        "not in it. Cost: what the worker's private memory grew by, divided."
    )
    say()
    _print_connections(results, count)
    return {"idle_connections": count, "servers": results}
