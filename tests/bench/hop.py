"""What the second process costs: a purchase that goes through the ticket pool to the vacancy pool,
next to the monolith's in the same run, and next to what other servers make of such a hop.

CPU time is that of all processes on both sides of the hop."""

import dataclasses

from . import disk, figures, load, proxies, report, visit
from .report import say
from .targets import (
    IN_MEMORY,
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

LONE = 1
FLOOD = 1000
CPU_GOAL = 1.6
LATENCY_GOAL = 2.5
BATCH_PATH = b" /api/v1/reserve/batch"
LEDGERS = {"memory:": IN_MEMORY, "sqlite:": ON_DISK}

# All of the server on one core, so that the CPU time is not blurred by moves between cores; or
# wherever the scheduler puts it, where the pools of a lone client can take turns on two.
PLACES = {"one core": "server", "both cores": "any"}
ONE_CONNECTION = {"HTTP_MAX_CONNECTIONS": 1, "HTTP_KEEPALIVE_CONNECTIONS": 1}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    server: Server
    connections: int = load.CONNECTIONS
    strict: bool = True  # whether a request that goes wrong ends the bench
    batches: bool = False  # whether many purchases are on their way between the pools at a time


@dataclasses.dataclass(frozen=True)
class Figure:
    """One case to another in the same round."""

    text: str
    case: str
    to: str
    key: str
    goal: float | None = None


def _crowd(ledger):
    return [
        Case(f"monolith, {ledger}", ticketd(ledger=LEDGERS[ledger])),
        Case(f"two pools, {ledger}", microservices(ledger=LEDGERS[ledger]), batches=True),
    ]


def _lone(ledger, place):
    options = {"ledger": LEDGERS[ledger], "pinning": PLACES[place]}
    return [
        Case(f"a lone client, monolith, {ledger}, {place}", ticketd(**options), LONE),
        Case(f"a lone client, two pools, {ledger}, {place}", microservices(**options), LONE),
    ]


def _flood(ledger):
    server = microservices(ledger=LEDGERS[ledger], **ONE_CONNECTION)
    name = f"two pools, one connection between them, {ledger}"
    return Case(name, server, FLOOD, strict=False, batches=True)


# The two sides of each comparison next to each other, or nearly.
CASES = [
    Case("h2o in front of the monolith, memory:", proxies.h2o_in_front()),
    *_crowd("memory:"),
    *_crowd("sqlite:"),
    Case(proxies.NGINX.name, proxies.NGINX),
    Case(proxies.NGINX_CHAIN.name, proxies.NGINX_CHAIN),
    *(case for place in PLACES for ledger in LEDGERS for case in _lone(ledger, place)),
    *(_flood(ledger) for ledger in LEDGERS),
]

FIGURES = [
    *(
        Figure(
            f"CPU a purchase, two pools / monolith, {ledger}",
            f"two pools, {ledger}",
            f"monolith, {ledger}",
            "cpu_us",
            CPU_GOAL,
        )
        for ledger in LEDGERS
    ),
    Figure(
        "CPU a request, nginx in front of nginx / nginx",
        proxies.NGINX_CHAIN.name,
        proxies.NGINX.name,
        "cpu_us",
    ),
    Figure(
        "CPU a purchase, h2o in front of the monolith / monolith, memory:",
        "h2o in front of the monolith, memory:",
        "monolith, memory:",
        "cpu_us",
    ),
    *(
        Figure(
            f"p50 of a lone client, two pools / monolith, {ledger}, {place}",
            f"a lone client, two pools, {ledger}, {place}",
            f"a lone client, monolith, {ledger}, {place}",
            "p50_us",
            LATENCY_GOAL,
        )
        for place in PLACES
        for ledger in LEDGERS
    ),
]


def _present_cases(bench):
    present = []
    for case in CASES:
        if missing := case.server.missing(bench.build):
            hint = f"; Debian has it as {missing}" if missing in proxies.PROGRAMS else ""
            say(f"left out: {case.name} ({missing} is missing{hint})")
        else:
            present.append(case)
    return present


def _print_commands(cases, bench):
    say("Commands, and the files that they read:")
    for tell in (describe, describe_files):
        for line in dict.fromkeys(line for case in cases for line in tell(case.server, bench)):
            say(f"  {line}")
    say()


def _print_cases(cases, rounds):
    lines = []
    for case in cases:
        visits = rounds[case.name]
        cpu, rps, p50, p99, p999 = (
            figures.summary([found[key] for found in visits])
            for key in ("cpu_us", "rps", "p50_us", "p99_us", "p999_us")
        )
        lines.append(
            [
                case.name,
                case.connections,
                f"{cpu['median']:.2f}",
                f"{cpu['min']:.2f}…{cpu['max']:.2f}",
                f"{rps['median']:.0f}",
                f"{p50['median']:.0f}",
                f"{p99['median'] / 1000:.2f}",
                f"{p999['median'] / 1000:.2f}",
                sum(found["errors"] + found["refused"] for found in visits),
                f"{max(found['server_busy'] for found in visits):.0%}",
                visits[0]["answer_bytes"],
                f"{max(found['foreign_cpus'] for found in visits):.2f}",
            ]
        )
    report.table(
        ["purchases", "connections", "CPU µs", "min…max", "a second", "p50 µs", "p99 ms"]
        + ["p99.9 ms", "went wrong", "server busy", "answer B", "foreign CPUs"],
        lines,
    )


def figures_of(rounds):
    """{the figure's text: one ratio a round}, of the figures whose two sides were measured."""
    return {
        figure.text: figures.round_ratios(
            *([found[figure.key] for found in rounds[name]] for name in (figure.case, figure.to))
        )
        for figure in FIGURES
        if figure.case in rounds and figure.to in rounds
    }


def _print_figures(found):
    lines = []
    for figure in FIGURES:
        if figure.text not in found:
            continue
        each = figures.summary(found[figure.text])
        verdict = report.goal(each["median"], figure.goal) if figure.goal else ""
        lines.append(
            [figure.text, f"{each['median']:.2f}", f"{each['min']:.2f}…{each['max']:.2f}", verdict]
        )
    report.table(["ratio", "median", "min…max", "goal"], lines)


def wrong_of(cases, rounds):
    """{case's name: [requests without an answer, and refused ones]} where that is the question."""
    return {
        case.name: [sum(found[key] for found in rounds[case.name]) for key in ("errors", "refused")]
        for case in cases
        if not case.strict
    }


def _print_wrong(wrong):
    for name, (errors, refused) in wrong.items():
        verdict = report.goal(errors + refused, 0)
        say(f"{name.rstrip(':')}, {FLOOD} clients: {errors} errors, {refused} refused; goal {verdict}")
    say()


def purchases_a_batch(log):
    """From the lines of both pools' access log; None when no batch is in it."""
    purchases = batches = 0
    for line in log:
        purchases += PURCHASE.path.encode() in line
        batches += BATCH_PATH in line
    return purchases / batches if batches else None


def _count_batches(case, bench):
    """In a visit of its own: a log line for each request is dear."""
    environment = {**case.server.environment, "ACCESS_LOG": "true"}
    server = dataclasses.replace(case.server, environment=environment)
    cpus = {bench.load_cpu}
    with running(server, bench) as one:
        load.wrk(one.port, PURCHASE, bench.warmup_s, cpus, case.connections, case.strict)
        with open(one.scratch / OUTPUT, "rb") as log:
            return purchases_a_batch(log)


def _print_batches(batches):
    for name, count in batches.items():
        said = f"{count:.1f} purchases a batch" if count else "no batches were seen"
        say(f"{name.rstrip(':')}, with ACCESS_LOG, which has its own cost: {said}")
    say()


def run(bench):
    load.require_wrk()
    kind = disk.require_disk(bench.scratch)
    cases = _present_cases(bench)
    _print_commands(cases, bench)
    say(
        f"{bench.rounds} rounds of {len(cases)} visits in turn, each a fresh server, ledgers on "
        f"{kind}, {bench.warmup_s} s warm-up and {bench.seconds} s measured; one worker a pool. "
        "The server's processes share one core, wrk has the other, unless both cores are named."
    )
    rounds = {case.name: [] for case in cases}
    for number in range(bench.rounds):
        for case in cases:
            rounds[case.name].append(
                visit.measure_undisturbed(
                    case.server, PURCHASE, bench, case.connections, case.strict
                )
            )
        costs = ", ".join(f"{rounds[case.name][-1]['cpu_us']:.2f}" for case in cases)
        say(f"  round {number + 1}: CPU µs/purchase {costs}")
    say(f"CPU: all processes of the server, medians. {visit.FOREIGN}")
    say()
    found, wrong = figures_of(rounds), wrong_of(cases, rounds)
    batches = {case.name: _count_batches(case, bench) for case in cases if case.batches}
    _print_cases(cases, rounds)
    _print_figures(found)
    _print_wrong(wrong)
    _print_batches(batches)
    return {
        "rounds": rounds,
        "figures": found,
        "wrong": wrong,
        "purchases_a_batch": batches,
        "file_system": kind,
    }
