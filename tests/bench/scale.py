"""How the cost of a purchase grows: with the connections, the workers, what buyers ask for, and the
sales that are in the ledger already.

CPU per request is that of all the server's processes while all the connections are open: what it
costs to open ten thousand for a few seconds is not in it."""

import dataclasses
import os
import pathlib
import resource

from . import disk, figures, load, recovery, report, visit
from .peers import DURABLE_ROW, FLOOR_ROW, IN_MEMORY_ROW, KERNEL_ROW, NGINX_ROW, POOLS_ROW
from .peers.servers import NGINX_LUA, nginx
from .procs import BenchError
from .report import say
from .targets import (
    AVAILABLE,
    ON_DISK,
    PURCHASE,
    SERVERS,
    Server,
    describe,
    microservices,
    scratch_directory,
    ticketd,
)

CONNECTIONS = (1, load.CONNECTIONS, 1000, 10_000)
FEW, MANY = load.CONNECTIONS, CONNECTIONS[-1]
WORKERS = (1, 2, 3, 4)
GROWTH_GOAL = 1.10
# Descriptors that a server or wrk needs besides its connections.
DESCRIPTORS = 400
LEDGER_ROW = "ticketd, purchase, durable, keys kept"
# Nine look at the stock for one who buys.
READERS = (*(AVAILABLE,) * 9, PURCHASE)
# {mix: what is asked}
MIXES = {
    "hot": {},
    "sold out": {"sold_out": True},
    "mixed": {"request": READERS},
}


@dataclasses.dataclass(frozen=True)
class Case:
    section: str  # of SECTIONS
    row: str
    point: str  # on the section's axis
    server: Server
    connections: int = load.CONNECTIONS
    asked: dict = dataclasses.field(default_factory=dict)  # fields of visit.Load


# {section: what its points are}
SECTIONS = {
    "connections": "connections",
    "workers": "workers",
    "mixes": "what is asked",
    "ledger": "ledger",
}


def connection_cases(descriptors):
    """Those that this machine allows descriptors for, and {what it does not: why}."""
    allowed = [count for count in CONNECTIONS if count + DESCRIPTORS <= descriptors]
    left_out = {
        f"{count} connections": f"a process may open {descriptors} files here, and {DESCRIPTORS} "
        "more than connections are needed"
        for count in CONNECTIONS
        if count not in allowed
    }
    # The same limit at each point.
    room = {"MAX_CONNECTIONS": allowed[-1] + DESCRIPTORS // 4}
    servers = {
        IN_MEMORY_ROW: ticketd(**room),
        DURABLE_ROW: ticketd(ledger=ON_DISK, **room),
        POOLS_ROW: microservices(ledger=ON_DISK, **room),
        KERNEL_ROW: SERVERS["epoll"],
        FLOOR_ROW: SERVERS["h2o"],
        NGINX_ROW: NGINX_LUA,
    }
    return [
        Case("connections", row, str(count), server, count)
        for row, server in servers.items()
        for count in allowed
    ], left_out


def worker_cases():
    return [
        Case("workers", row, str(count), ticketd(workers=count, pinning="others", **options))
        for row, options in {IN_MEMORY_ROW: {}, DURABLE_ROW: {"ledger": ON_DISK}}.items()
        for count in WORKERS
    ]


def mix_cases():
    cases = []
    for mix, asked in MIXES.items():
        # One ticket, which is sold before the load begins.
        stock = {"stock": 1} if "sold_out" in asked else {}
        servers = {
            IN_MEMORY_ROW: ticketd(**stock),
            DURABLE_ROW: ticketd(ledger=ON_DISK, **stock),
            NGINX_ROW: nginx(NGINX_LUA.name, "nginx-lua", lua=True, **stock),
        }
        cases += [Case("mixes", row, mix, server, asked=asked) for row, server in servers.items()]
    return cases


def ledger_cases(path, sales):
    """Both with room for as many keys, so that only what is in the ledger differs."""
    asked = {"ready_timeout_s": recovery.READY_TIMEOUT_S}
    return [
        Case(
            "ledger",
            LEDGER_ROW,
            point,
            recovery.keyed_server(ledger, sales, 1, "server"),
            asked=asked,
        )
        for point, ledger in (("fresh", ON_DISK), ("filled", f"sqlite:{path}"))
    ]


def present_cases(cases, bench):
    """The cases whose server is here, and {row: what the others lack}."""
    present, left_out = [], {}
    for case in cases:
        if need := case.server.missing(bench.build):
            left_out[case.row] = f"{need} is missing"
        else:
            present.append(case)
    return present, left_out


def _measure(case, bench):
    asked = {"request": PURCHASE, "strict": False, **case.asked}
    return visit.measure_undisturbed(
        case.server, bench=bench, connections=case.connections, **asked
    )


def figures_of(visits):
    """What several visits say: medians, and between what the CPU a request was."""
    keys = ("cpu_us", "rps", "p50_us", "p99_us", "p999_us", "pss_kib")
    summaries = {key: figures.summary([found[key] for found in visits]) for key in keys}
    return {
        **{key: each["median"] for key, each in summaries.items()},
        "cpu_us_min": summaries["cpu_us"]["min"],
        "cpu_us_max": summaries["cpu_us"]["max"],
        "server_busy": max(found["server_busy"] for found in visits),
        "foreign_cpus": max(found["foreign_cpus"] for found in visits),
        "wrong": sum(found["errors"] + found["refused"] for found in visits),
    }


def growth(rounds, section, row, point, to):
    """CPU a request at one point to that at another, one ratio a round; none without both."""
    sides = [rounds.get((section, row, each)) for each in (point, to)]
    if not all(sides):
        return []
    return figures.round_ratios(*([found["cpu_us"] for found in visits] for visits in sides))


def growths_of(rounds):
    """{what grows: (one ratio a round, its goal or None)}."""
    found = {
        f"{row}, {MANY} / {FEW} connections": (
            growth(rounds, "connections", row, str(MANY), str(FEW)),
            GROWTH_GOAL if row in (IN_MEMORY_ROW, DURABLE_ROW) else None,
        )
        for row in (IN_MEMORY_ROW, DURABLE_ROW, POOLS_ROW, KERNEL_ROW, FLOOR_ROW, NGINX_ROW)
    }
    ledger = growth(rounds, "ledger", LEDGER_ROW, "filled", "fresh")
    found[f"{LEDGER_ROW}, filled / fresh ledger"] = (ledger, GROWTH_GOAL)
    return {name: each for name, each in found.items() if each[0]}


def nested(rounds):
    """{section: {row: {point: figures}}}, but the mixes by mix and then row, and the ledger, which
    has one row, by its points alone."""
    found = {section: {} for section in SECTIONS}
    for (section, row, point), visits in rounds.items():
        each = figures_of(visits)
        if section == "ledger":
            found[section][point] = each
        else:
            outer, inner = (point, row) if section == "mixes" else (row, point)
            found[section].setdefault(outer, {})[inner] = each
    return found


def _print_section(section, rounds):
    lines = []
    for (_section, row, point), visits in rounds.items():
        if _section != section:
            continue
        each = figures_of(visits)
        lines.append(
            [
                row,
                point,
                f"{each['cpu_us']:.2f}",
                f"{each['cpu_us_min']:.2f}…{each['cpu_us_max']:.2f}",
                f"{each['rps']:.0f}",
                *(f"{each[key] / 1000:.2f}" for key in ("p50_us", "p99_us", "p999_us")),
                f"{each['pss_kib'] / 1024:.1f}",
                each["wrong"],
                f"{each['server_busy']:.0%}",
                f"{each['foreign_cpus']:.2f}",
            ]
        )
    report.table(
        ["row", SECTIONS[section], "CPU µs/req", "min…max", "req/s"]
        + ["p50 ms", "p99 ms", "p99.9 ms", "PSS MiB", "went wrong", "server busy"]
        + ["foreign CPUs"],
        lines,
    )


def _print_growths(growths):
    lines = []
    for name, (ratios, limit) in growths.items():
        each = figures.summary(ratios)
        verdict = report.goal(each["median"], limit) if limit else ""
        lines.append(
            [name, f"{each['median']:.3f}", f"{each['min']:.3f}…{each['max']:.3f}", verdict]
        )
    report.table(["CPU a request", "median", "min…max", "goal"], lines)


def _announce(cases, left_out, bench, kind, filled):
    for name, why in left_out.items():
        say(f"left out: {name} ({why})")
    say("Commands:")
    for line in dict.fromkeys(line for case in cases for line in describe(case.server, bench)):
        say(f"  {line.replace(str(filled), '$FILLED')}")
    cpus = next(case.server.cpus(bench) for case in cases if case.section == "workers")
    place = (
        f"the server has the cores {', '.join(str(cpu) for cpu in sorted(cpus))}, wrk another"
        if cpus
        else "nothing is pinned: two cores are too few to give the server several of its own"
    )
    say()
    say(
        f"{bench.rounds} rounds of {len(cases)} visits in turn, each a fresh server, "
        f"{bench.warmup_s} s warm-up and {bench.seconds} s measured; {load.CONNECTIONS} "
        "connections where none are said. All processes of a server share one core, wrk has the "
        f"other; but for the workers, {place}, and one thread of wrk is all the load there is. What "
        f"is durable is on {kind}."
    )
    say(
        "Mixes: hot sells one ticket a request; sold out refuses each; mixed looks at the stock "
        "nine times of ten and buys the tenth. The filled ledger is made once and each of its "
        "servers starts on it, so that it grows by what they sell; it stays in the kernel's memory."
    )
    say(
        "CPU and requests are counted while all connections are open, memory in the middle of "
        "that; latencies begin when the first ones are."
    )


def _run(cases, bench, left_out):
    """{(section, row, point): visits}.  A case that cannot be measured here ends alone, and is left
    out with its reason."""
    rounds = {(case.section, case.row, case.point): [] for case in cases}
    for number in range(bench.rounds):
        for case in cases:
            key = (case.section, case.row, case.point)
            if key not in rounds:
                continue
            try:
                rounds[key].append(_measure(case, bench))
            except BenchError as error:
                del rounds[key]
                # Its first line: what the server logged comes after it.
                why = left_out[", ".join(key)] = str(error).partition("\n")[0]
                say(f"left out from here on: {', '.join(key)} ({why})")
        costs = ", ".join(f"{visits[-1]['cpu_us']:.2f}" for visits in rounds.values())
        say(f"  round {number + 1}: CPU µs/request {costs}")
    return rounds


def run(bench):
    load.require_wrk()
    kind = disk.require_disk(bench.scratch)
    with scratch_directory(bench) as scratch:
        path = pathlib.Path(scratch).resolve() / "ledger.db"
        connections, left_out = connection_cases(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        every = [*connections, *worker_cases(), *mix_cases(), *ledger_cases(path, bench.sales)]
        cases, lacking = present_cases(every, bench)
        left_out |= lacking
        _announce(cases, left_out, bench, kind, path)
        recovery.fill(bench, path, bench.sales)
        os.sync()  # or its pages would be written in the middle of a visit
        rounds = _run(cases, bench, left_out)
    say(f"CPU: all processes of the server, medians. {visit.FOREIGN}")
    say()
    for section in SECTIONS:
        _print_section(section, rounds)
    growths = growths_of(rounds)
    _print_growths(growths)
    found = nested(rounds)
    found["ledger"]["sales"] = bench.sales
    return {
        **found,
        "growth": {name: {"ratios": each, "goal": goal} for name, (each, goal) in growths.items()},
        "rounds": {", ".join(key): visits for key, visits in rounds.items()},
        "left_out": left_out,
        "file_system": kind,
    }
