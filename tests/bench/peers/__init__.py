"""The same sale done by others, each in turn in one run: what ticketd costs next to what people
would otherwise put there.

A peer answers the same requests with the same fields and members, and as many bytes; where it keeps
no orders, or nothing at all over a restart, that is in its favour.  Each is tuned as its own
documentation advises (the files of this folder say how), has one core, as ticketd has, and is left
out where it is not installed."""

import contextlib
import functools

from .. import disk, figures, load, postgres, report, requests, visit
from ..procs import BenchError
from ..report import say
from ..targets import (
    AVAILABLE,
    ON_DISK,
    PURCHASE,
    SERVERS,
    Ratio,
    Row,
    describe_files,
    microservices,
    running,
    sample_answer,
    scratch_directory,
)
from . import answers, servers

# As many as PostgreSQL advises to let through a pool: twice the cores, and some for the disk.  With
# 64 that all wait for one row, a sale costs it four times as much.
POSTGRES_CLIENTS = 4
HINT = "tools/install-dependencies bench"
ALL_SERVERS = {
    **SERVERS,
    **servers.SERVERS,
    "pools": microservices(),
    "durable-pools": microservices(ledger=ON_DISK),
}
KERNEL_ROW = "bare epoll loop, POST"
FLOOR_ROW = "libh2o, POST"
IN_MEMORY_ROW = "ticketd, purchase, memory:"
DURABLE_ROW = "ticketd, purchase, durable"
AVAILABLE_ROW = "ticketd, available"
NGINX_ROW = "nginx + Lua shared dictionary, purchase"
NGINX_AVAILABLE_ROW = "nginx + Lua shared dictionary, available"
FASTAPI_ROW = "FastAPI + uvicorn, purchase"
POOLS_ROW = "ticketd, two pools, durable"
PROXY_ROW = "nginx in front of nginx + Lua"

# In this order within each round, so that the two sides of a ratio run near each other.
ROWS = [
    Row("bare epoll loop, GET", "epoll", AVAILABLE),
    Row("libh2o, GET", "h2o", AVAILABLE),
    Row(AVAILABLE_ROW, "ticketd", AVAILABLE),
    Row(NGINX_AVAILABLE_ROW, "nginx-lua", AVAILABLE),
    Row("FastAPI + uvicorn, available", "fastapi", AVAILABLE),
    Row(KERNEL_ROW, "epoll", PURCHASE),
    Row(FLOOR_ROW, "h2o", PURCHASE),
    Row(IN_MEMORY_ROW, "ticketd", PURCHASE),
    Row(NGINX_ROW, "nginx-lua", PURCHASE),
    Row(DURABLE_ROW, "durable", PURCHASE),
    Row("nginx + Lua + Redis", "nginx-redis", PURCHASE),
    Row("nginx + Lua + Redis, appendfsync always", "nginx-redis-durable", PURCHASE),
    Row(FASTAPI_ROW, "fastapi", PURCHASE),
    Row("ticketd, two pools, memory:", "pools", PURCHASE),
    Row(POOLS_ROW, "durable-pools", PURCHASE),
    Row(PROXY_ROW, "nginx-proxy", PURCHASE),
    Row("FastAPI + httpx in front of FastAPI", "fastapi-chain", PURCHASE),
]
RATIOS = [
    Ratio(IN_MEMORY_ROW, FLOOR_ROW, 1.25),
    Ratio(IN_MEMORY_ROW, NGINX_ROW, 0.65),
    Ratio(IN_MEMORY_ROW, FASTAPI_ROW, 0.08),
    Ratio(DURABLE_ROW, NGINX_ROW, 0.85),
    *(Ratio(DURABLE_ROW, name, 0.10) for name in postgres.SCRIPTS),
    Ratio(POOLS_ROW, DURABLE_ROW, 1.5),
    Ratio(POOLS_ROW, PROXY_ROW, 0.5),
    Ratio(AVAILABLE_ROW, "libh2o, GET", 1.12),
    # What the kernel alone takes, to the others: how near to it a goal is.
    *(
        Ratio(name, KERNEL_ROW)
        for name in (FLOOR_ROW, IN_MEMORY_ROW, DURABLE_ROW, NGINX_ROW)
    ),
    *(
        Ratio(name, "bare epoll loop, GET")
        for name in ("libh2o, GET", AVAILABLE_ROW, NGINX_AVAILABLE_ROW)
    ),
    Ratio(KERNEL_ROW, NGINX_ROW),
    Ratio(FLOOR_ROW, NGINX_ROW),
]


def _answers(rows, bench):
    """{(server's name, request): its first answer}, each server started once."""
    found = {}
    for key in dict.fromkeys(row.server for row in rows):
        server = ALL_SERVERS[key]
        with running(server, bench) as one:
            for request in dict.fromkeys(row.request for row in rows if row.server == key):
                found[server.name, request] = sample_answer(one.port, request)
    return found


def check_answers(found):
    """Holds everybody to what ticketd answers to the same request, and says what they answered."""
    for (name, request), answer in found.items():
        if fault := answers.differs(answer, found[ALL_SERVERS["ticketd"].name, request]):
            raise BenchError(f"{name}, {request.path}: {fault}")
    free = "; ".join(f"{field} ({why})" for field, why in answers.FREE.items())
    say(
        "Answers, each held to ticketd's: the same fields at the head but for "
        f"{free}, the same members, and without the free fields at most {answers.BYTES_APART} "
        "bytes more or less."
    )
    say()
    report.table(
        ["answer", "fields", "bytes", "without the free"],
        [
            [
                f"{name}, {request.path}",
                len(answers.fields(answer)),
                len(answer.head) + len(answer.body),
                answers.comparable_bytes(answer),
            ]
            for (name, request), answer in found.items()
        ],
    )


def _databases(stack, bench, left_out):
    """{PostgreSQL's row: what measures it}: one server for all of them, on the core that the others
    have; it is idle meanwhile."""
    if absent := postgres.missing():
        for name in postgres.SCRIPTS:
            left_out[name] = f"{absent} is missing"
            say(f"left out: {name} ({left_out[name]})")
        return {}
    scratch = stack.enter_context(scratch_directory(bench))
    server = stack.enter_context(postgres.Postgres(scratch, {bench.server_cpu}, POSTGRES_CLIENTS))

    def measuring(script):
        measure = functools.partial(server.measure, script, bench, {bench.load_cpu})
        return functools.partial(visit.undisturbed, measure, bench)

    postgres.announce_database()
    return {name: measuring(script) for name, script in postgres.SCRIPTS.items()}


def times_ours(rounds, name):
    """CPU of a row in the monolith's, in memory and durable: medians, None where there is none."""
    request = {row.name: row.request for row in ROWS}.get(name, PURCHASE)
    ours = (AVAILABLE_ROW, None) if request is AVAILABLE else (IN_MEMORY_ROW, DURABLE_ROW)
    return [
        figures.summary(
            figures.round_ratios(
                requests.series(rounds, name, "cpu_us"), requests.series(rounds, to, "cpu_us")
            )
        )["median"]
        if to in rounds
        else None
        for to in ours
    ]


def _print_rows(rounds):
    lines = []
    for name, visits in rounds.items():
        cpu, rps, p50, p99, p999, pss = (
            figures.summary(requests.series(rounds, name, key))
            for key in ("cpu_us", "rps", "p50_us", "p99_us", "p999_us", "pss_kib")
        )
        lines.append(
            [
                name,
                f"{cpu['median']:.2f}",
                f"{cpu['min']:.2f}…{cpu['max']:.2f}",
                *("—" if times is None else f"{times:.2f}" for times in times_ours(rounds, name)),
                f"{rps['median']:.0f}",
                f"{p50['median'] / 1000:.2f}",
                f"{p99['median'] / 1000:.2f}",
                f"{p999['median'] / 1000:.2f}",
                f"{pss['median'] / 1024:.1f}",
                f"{max(found['server_busy'] for found in visits):.0%}",
                visits[0].get("answer_bytes", "—"),
                f"{max(found['foreign_cpus'] for found in visits):.2f}",
            ]
        )
    report.table(
        ["row", "CPU µs/req", "min…max", "× memory:", "× durable", "req/s", "p50 ms", "p99 ms"]
        + ["p99.9 ms", "PSS MiB", "server busy", "answer B", "foreign CPUs"],
        lines,
    )


def _announce(rows, bench, kind):
    requests.print_commands(rows, ALL_SERVERS, bench)
    say("Files that they read:")
    keys = dict.fromkeys(row.server for row in rows)
    for line in dict.fromkeys(
        line for key in keys for line in describe_files(ALL_SERVERS[key], bench)
    ):
        say(f"  {line}")
    say()
    say(
        f"{bench.rounds} rounds, each a fresh server (PostgreSQL: one for the run), "
        f"{bench.warmup_s} s warm-up and {bench.seconds} s measured; {load.CONNECTIONS} keepalive "
        f"connections (PostgreSQL: {POSTGRES_CLIENTS}, as behind a pool). All processes "
        "of a server share one core, wrk or pgbench has the other; what is durable is on "
        f"{kind}."
    )


def run(bench):
    load.require_wrk()
    kind = disk.require_disk(bench.scratch)
    rows, left_out = requests.present_rows(ROWS, ALL_SERVERS, bench)
    with contextlib.ExitStack() as stack:
        contenders = {
            row.name: functools.partial(
                visit.measure_undisturbed, ALL_SERVERS[row.server], row.request, bench
            )
            for row in rows
        }
        contenders.update(_databases(stack, bench, left_out))
        if left_out:
            say(f"What is left out can be had by {HINT}.")
        _announce(rows, bench, kind)
        check_answers(_answers(rows, bench))
        rounds = {name: [] for name in contenders}
        for number in range(bench.rounds):
            for name, measure in contenders.items():
                rounds[name].append(measure())
            costs = ", ".join(f"{visits[-1]['cpu_us']:.2f}" for visits in rounds.values())
            say(f"  round {number + 1}: CPU µs/request {costs}")
    say(f"CPU: all processes of the server, medians. {visit.FOREIGN}")
    say()
    _print_rows(rounds)
    ratios = requests.ratios_of(RATIOS, rounds, {})
    requests.print_ratios(ratios)
    return {"rounds": rounds, "ratios": ratios, "left_out": left_out, "file_system": kind}
