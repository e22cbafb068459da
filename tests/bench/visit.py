"""One visit of a server: a fresh one, warm-up, then the load that counts, and what it cost.

Requests and CPU are counted while all connections are open: opening and closing them is not in it.
Visits are repeated when other load disturbed them; they are judged by that load alone, never by
their figures."""

import dataclasses
import resource
import time

from . import load, procs
from .client import Request
from .procs import BenchError
from .targets import READY_TIMEOUT_S, running, sample_answer

QUIET_CPUS = 0.1  # other load, in CPUs, that a visit may meet without being repeated
VISITS_MAX = 3
FOREIGN = (
    "Foreign CPUs: load on this machine that was not the bench's (the kernel's own threads for the "
    f"disk are in it); a visit that met more than {QUIET_CPUS} was repeated, at most "
    f"{VISITS_MAX - 1} times, and what stands above {QUIET_CPUS} here is disturbed."
)


def clocks(server_s, load_s=0):
    """Seconds: CPU of the server, CPU of load generators, CPU of all, the wall clock's.  The load
    generators that have ended are counted; `load_s` are the others."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    load_s += ended.ru_utime + ended.ru_stime
    return server_s, load_s, procs.busy_s(), time.monotonic()


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


@dataclasses.dataclass(frozen=True)
class Load:
    """What a server is asked in a visit.  Unless `strict`, requests that went wrong are counted and
    end nothing."""

    request: Request | tuple[Request, ...]  # a tuple: in rotation
    connections: int = load.CONNECTIONS
    strict: bool = True
    # The last ticket is sold before the load begins.
    sold_out: bool = False
    ready_timeout_s: int = READY_TIMEOUT_S


def _sample(port, asked):
    """The first answer to each request; the bytes of them all, of one on the average."""
    requests = load.rotation(asked.request)
    if asked.sold_out:
        sample_answer(port, requests[0])
    answers = [sample_answer(port, request, asked.sold_out) for request in requests]
    return round(sum(len(answer.head) + len(answer.body) for answer in answers) / len(answers))


def _drive(server, pids, asked, cpus, seconds):
    """Loads it for so long, counted from when all connections are open: (readings of the clocks and
    the requests sent at both ends, memory in the middle, what wrk found)."""
    with load.Driving(server.port, asked.request, cpus, asked.connections) as wrk:

        def reading():
            return clocks(procs.cpu_ns(pids) / 1e9, wrk.cpu_s()), wrk.sent()

        begin = reading()
        time.sleep(seconds / 2)
        # Now, with all its connections.
        pss_kib = procs.pss_kib(pids)
        time.sleep(seconds / 2)
        end = reading()
        return begin, end, pss_kib, wrk.end(asked.strict)


def _measure(server_entry, asked, bench):
    cpus = {bench.load_cpu} if server_entry.cpus(bench) else None
    with running(server_entry, bench, ready_timeout_s=asked.ready_timeout_s) as server:
        answer_bytes = _sample(server.port, asked)
        *_, warmup = _drive(server, server.pids(), asked, cpus, bench.warmup_s)
        pids = server.pids()
        begin, end, pss_kib, result = _drive(server, pids, asked, cpus, bench.seconds)
        if set(server.pids()) != set(pids):
            raise BenchError(
                f"{server_entry.name}: a process of the server ended or began under load"
            )
    (before, sent_before), (after, sent_after) = begin, end
    count = sent_after - sent_before
    return {
        "requests": count,
        "rps": count / (after[-1] - before[-1]),
        **{name: result[name] for name in ("p50_us", "p99_us", "p999_us")},
        **costs(before, after, count),
        # Those of the warm-up too: no client is told that it was only that.
        **{name: warmup[name] + result[name] for name in ("errors", "refused")},
        "answer_bytes": answer_bytes,
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


def measure_undisturbed(server, request, bench, connections=load.CONNECTIONS, strict=True, **asked):
    """wrk has its own core, unless the server is left to the scheduler: then so is wrk.  `asked` are
    further fields of Load."""
    wanted = Load(request, connections, strict, **asked)
    return undisturbed(lambda: _measure(server, wanted, bench), bench)
