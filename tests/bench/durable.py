"""What durability costs: the same purchase answered from memory, and only after it is on the disk.

CPU time is that of all the server's processes, the keeper with its ledger included."""

import dataclasses

from . import disk, figures, load, report, visit
from .report import say
from .targets import IN_MEMORY, ON_DISK, PURCHASE, describe, ticketd

MANY = 256
CPU_GOAL = 1.4
ADDED_GOAL_SYNCS = 2

# Where the processes run: the server on one core and the load on the other, so that the CPU time is
# not blurred by moves between cores; or both wherever the scheduler puts them.
PINNED = {"workers": 1, "pinning": "server"}
FREE = {"workers": 0, "pinning": "any"}
PLACES = {"one core": PINNED, "both cores": FREE}
LEDGERS = {"memory": IN_MEMORY, "durable": ON_DISK}


@dataclasses.dataclass(frozen=True)
class Case:
    ledger: str  # of LEDGERS
    place: str  # of PLACES
    connections: int

    @property
    def name(self):
        return f"{self.ledger}, {self.place}, {self.connections} connections"

    def server(self):
        return ticketd(ledger=LEDGERS[self.ledger], **PLACES[self.place])


# The two sides of each comparison next to each other.
CASES = [
    Case(ledger, place, connections)
    for place in PLACES
    for connections in (MANY, load.CONNECTIONS)
    for ledger in LEDGERS
]


def _print_commands(bench):
    say("Commands:")
    for line in dict.fromkeys(line for case in CASES for line in describe(case.server(), bench)):
        say(f"  {line}")
    say()


def _print_cases(rounds):
    lines = []
    for name, visits in rounds.items():
        cpu, rps, p50, p99, p999 = (
            figures.summary([found[key] for found in visits])
            for key in ("cpu_us", "rps", "p50_us", "p99_us", "p999_us")
        )
        lines.append(
            [
                name,
                f"{cpu['median']:.2f}",
                f"{cpu['min']:.2f}…{cpu['max']:.2f}",
                f"{rps['median']:.0f}",
                f"{p50['median'] / 1000:.2f}",
                f"{p99['median'] / 1000:.2f}",
                f"{p999['median'] / 1000:.2f}",
                f"{max(found['server_busy'] for found in visits):.0%}",
                f"{max(found['foreign_cpus'] for found in visits):.2f}",
            ]
        )
    report.table(
        ["purchases", "CPU µs", "min…max", "a second", "p50 ms", "p99 ms"]
        + ["p99.9 ms", "server busy", "foreign CPUs"],
        lines,
    )


def compare(rounds, place, connections, key, combine):
    """One figure a round: what `combine` makes of the durable side and of the one in memory."""
    durable, memory = (
        rounds[Case(ledger, place, connections).name] for ledger in ("durable", "memory")
    )
    return [combine(a[key], b[key]) for a, b in zip(durable, memory, strict=True)]


def figures_of(rounds, syncs_us):
    """The figures that there are goals for, each a list with one value a round."""
    found = {
        "cpu": compare(rounds, "one core", MANY, "cpu_us", lambda a, b: a / b),
        "throughput": compare(rounds, "both cores", MANY, "rps", lambda a, b: a / b),
    }
    for place in PLACES:
        added = compare(rounds, place, load.CONNECTIONS, "p50_us", lambda a, b: a - b)
        found[f"added, {place}"] = figures.round_ratios(added, syncs_us)
    return found


def _print_figures(found, syncs_us):
    names = {
        "cpu": (f"CPU a purchase, durable / memory, {MANY} connections, one core", CPU_GOAL),
        "throughput": (
            f"purchases a second, durable / memory, {MANY} connections, both cores",
            None,
        ),
        **{
            f"added, {place}": (
                f"p50 added at {load.CONNECTIONS} connections, in syncs of this disk, {place}",
                ADDED_GOAL_SYNCS,
            )
            for place in PLACES
        },
    }
    lines = []
    for key, (text, limit) in names.items():
        each = figures.summary(found[key])
        verdict = report.goal(each["median"], limit) if limit else ""
        lines.append(
            [text, f"{each['median']:.2f}", f"{each['min']:.2f}…{each['max']:.2f}", verdict]
        )
    report.table(["figure", "median", "min…max", "goal"], lines)
    sync = figures.summary(syncs_us)
    say(
        f"One sync ({disk.BYTES} bytes appended, fdatasync, the median of {disk.SYNCS}; once a "
        f"round): {sync['median']:.0f} µs, {sync['min']:.0f}…{sync['max']:.0f}."
    )
    say()


def run(bench):
    load.require_wrk()
    kind = disk.require_disk(bench.scratch)
    if missing := CASES[0].server().missing(bench.build):
        say(f"left out: {missing} is missing")
        return {}
    _print_commands(bench)
    say(
        f"{bench.rounds} rounds of {len(CASES)} visits in turn, each a fresh server with a ledger "
        f"of its own on {kind}, {bench.warmup_s} s warm-up and {bench.seconds} s measured. One "
        "core: one worker and the keeper share it, wrk has the other. Both cores: a worker a CPU, all "
        "of it and wrk wherever the scheduler puts them."
    )
    rounds = {case.name: [] for case in CASES}
    syncs_us = []
    for number in range(bench.rounds):
        syncs_us.append(disk.sync_us(bench.scratch))
        for case in CASES:
            rounds[case.name].append(
                visit.measure_undisturbed(case.server(), PURCHASE, bench, case.connections)
            )
        costs = ", ".join(f"{rounds[case.name][-1]['cpu_us']:.2f}" for case in CASES)
        say(f"  round {number + 1}: sync {syncs_us[-1]:.0f} µs; CPU µs/purchase {costs}")
    say(f"CPU: all processes of the server, medians. {visit.FOREIGN}")
    say()
    found = figures_of(rounds, syncs_us)
    _print_cases(rounds)
    _print_figures(found, syncs_us)
    return {"rounds": rounds, "syncs_us": syncs_us, "figures": found, "file_system": kind}
