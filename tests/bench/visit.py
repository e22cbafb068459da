"""One visit of a server: a fresh one, warm-up, then the load that counts, and what it cost.

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


def clocks(server_s):
    """Seconds: CPU of the server, CPU of finished load generators, CPU of all, the wall clock's."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return server_s, ended.ru_utime + ended.ru_stime, procs.busy_s(), time.monotonic()


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
    # Whether to find out what it costs to open and close a connection, too.
    opening: bool = False
    ready_timeout_s: int = READY_TIMEOUT_S


def _sample(port, asked):
    """The first answer to each request; the bytes of them all, of one on the average."""
    requests = load.rotation(asked.request)
    if asked.sold_out:
        sample_answer(port, requests[0])
    answers = [sample_answer(port, request, asked.sold_out) for request in requests]
    return round(sum(len(answer.head) + len(answer.body) for answer in answers) / len(answers))


def _connection_us(server, pids, count):
    """CPU time of the server for each connection that is opened and closed and asked nothing."""
    before = procs.cpu_ns(pids)
    load.open_and_close(server.port, count)
    return (procs.cpu_ns(pids) - before) / 1e3 / count


def _measure(server_entry, asked, bench):
    cpus = {bench.load_cpu} if server_entry.cpus(bench) else None
    memory = []

    with running(server_entry, bench, ready_timeout_s=asked.ready_timeout_s) as server:

        def wrk(seconds, midway=None):
            return load.wrk(
                server.port, asked.request, seconds, cpus, asked.connections, asked.strict, midway
            )

        answer_bytes = _sample(server.port, asked)
        warmup = wrk(bench.warmup_s)
        pids = server.pids()
        opening = _connection_us(server, pids, asked.connections) if asked.opening else None
        before = clocks(procs.cpu_ns(pids) / 1e9)
        result = wrk(bench.seconds, lambda: memory.append(procs.pss_kib(pids)))
        after = clocks(procs.cpu_ns(pids) / 1e9)
        if set(server.pids()) != set(pids):
            raise BenchError(
                f"{server_entry.name}: a process of the server ended or began under load"
            )
    return {
        "requests": result["requests"],
        "rps": result["requests"] / (result["duration_us"] / 1e6),
        **{name: result[name] for name in ("p50_us", "p99_us", "p999_us")},
        **costs(before, after, result["requests"]),
        # Those of the warm-up too: no client is told that it was only that.
        **{name: warmup[name] + result[name] for name in ("errors", "refused")},
        "answer_bytes": answer_bytes,
        "pss_kib": memory[0],  # in the middle of the load, with all its connections
        "connection_us": opening,
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
