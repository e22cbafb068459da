"""One visit of a server: a fresh one, warm-up, then the load that counts, and what it cost.

Visits are repeated when other load disturbed them; they are judged by that load alone, never by
their figures."""

import resource
import time

from . import load, procs
from .procs import BenchError
from .targets import running, sample_answer

QUIET_CPUS = 0.1  # other load, in CPUs, that a visit may meet without being repeated
VISITS_MAX = 3
FOREIGN = (
    "Foreign CPUs: load on this machine that was not the bench's (the kernel's own threads for the "
    f"disk are in it); a visit that met more than {QUIET_CPUS} was repeated, at most "
    f"{VISITS_MAX - 1} times, and what stands above {QUIET_CPUS} here is disturbed."
)


def clocks(server_s):
    """Seconds: CPU of the server, CPU of finished load generators, CPU of all, the wall clock's."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return server_s, ended.ru_utime + ended.ru_stime, procs.busy_s(), time.monotonic()


def under_load(server, send, count="requests"):
    """What `send`, which sends a load to the running server, returns; and what that cost the server
    for each of what it calls `count`."""
    pids = server.pids()
    before = clocks(procs.cpu_ns(pids) / 1e9)
    result = send()
    after = clocks(procs.cpu_ns(pids) / 1e9)
    if set(server.pids()) != set(pids):
        raise BenchError("a process of the server ended or began under load")
    return {**result, **costs(before, after, max(1, result[count]))}


def costs(before, after, requests):
    """What two readings of the clocks say of that many requests between them."""
    cpu, load_cpu, busy, wall = (b - a for a, b in zip(before, after, strict=True))
    return {
        "cpu_us": cpu * 1e6 / requests,
        "server_busy": cpu / wall,
        "foreign_cpus": max(0.0, (busy - cpu - load_cpu) / wall),
    }


def _measure(server_entry, request, bench, connections, load_cpus, strict):
    with running(server_entry, bench) as server:
        answer = sample_answer(server.port, request)
        warmup = load.wrk(server.port, request, bench.warmup_s, load_cpus, connections, strict)
        pids = server.pids()
        before = clocks(procs.cpu_ns(pids) / 1e9)
        result = load.wrk(server.port, request, bench.seconds, load_cpus, connections, strict)
        after = clocks(procs.cpu_ns(pids) / 1e9)
        if set(server.pids()) != set(pids):
            raise BenchError(
                f"{server_entry.name}: a process of the server ended or began under load"
            )
        pss_kib = procs.pss_kib(pids)
    return {
        "rps": result["requests"] / (result["duration_us"] / 1e6),
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
        **costs(before, after, result["requests"]),
        # Those of the warm-up too: no client is told that it was only that.
        **{name: warmup[name] + result[name] for name in ("errors", "refused")},
        "answer_bytes": len(answer.head) + len(answer.body),
        "pss_kib": pss_kib,
    }


def undisturbed(measure, bench):
    """The first visit that other load left alone, or else the least disturbed of a few."""
    visits = []
    while len(visits) < VISITS_MAX:
        procs.wait_for_quiet(QUIET_CPUS, bench.patience_s)
        visits.append(measure())
        if visits[-1]["foreign_cpus"] <= QUIET_CPUS:
            break
    return {**min(visits, key=lambda visit: visit["foreign_cpus"]), "visits": len(visits)}


def measure_undisturbed(server, request, bench, connections=load.CONNECTIONS, strict=True):
    """wrk has its own core, unless the server is left to the scheduler: then so is wrk.  Unless
    `strict`, requests that went wrong are counted and end nothing."""
    load_cpus = {bench.load_cpu} if server.pinning == "server" else None
    return undisturbed(
        lambda: _measure(server, request, bench, connections, load_cpus, strict), bench
    )
