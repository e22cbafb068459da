"""How long an answer takes while requests come at a fixed rate, whatever became of those before.

wrk, as every closed loop, asks less of a server that is slow, so it hardly meets what a stall does
to those who come meanwhile.  Here requests are due at fixed instants, and a latency counts from
there.  Each row is asked at fractions of its own peak, so that all are equally far from theirs.
The bare epoll loop, which does nothing, shows what of it is the machine's and the load's own."""

import dataclasses
import functools
import os
import pathlib
import shlex
import statistics

from . import crowd, disk, k6, load, peers, procs, report, requests, visit
from .report import say
from .targets import PURCHASE, running, sample_answer

FRACTIONS = (0.25, 0.5, 0.75, 0.9)
NAMES = (
    peers.KERNEL_ROW,
    peers.FLOOR_ROW,
    peers.IN_MEMORY_ROW,
    peers.DURABLE_ROW,
    peers.POOLS_ROW,
    peers.NGINX_ROW,
    peers.FASTAPI_ROW,
)
ROWS = [row for row in peers.ROWS if row.name in NAMES]
FIGURES = ("p50_us", "p99_us", "p999_us", "max_us")

GOAL_ROW = peers.DURABLE_ROW
GOAL_FRACTION = 0.5
GOAL_SYNCS = 3
GOAL_ADDED_US = 1000

# What k6 holds with the one core that the load has, with room to spare.
K6_RATE = 2000
K6_SCRIPT = pathlib.Path(__file__).with_name("k6_rate.js")
K6_ROW = peers.IN_MEMORY_ROW


def goal_us(sync_us):
    return GOAL_SYNCS * sync_us + GOAL_ADDED_US


def k6_command(binary, port, rate, bench):
    variables = {
        "URL": f"http://127.0.0.1:{port}",
        "RATE": rate,
        "WARMUP_S": bench.warmup_s,
        "SECONDS": bench.seconds,
        "VUS": crowd.CONNECTIONS,
    }
    return k6.command(binary, os.path.relpath(K6_SCRIPT), variables)


@dataclasses.dataclass(frozen=True)
class Target:
    """A running server, for as long as its row's turn in a round lasts."""

    bench: object
    server: object

    def undisturbed(self, send):
        """What `send` found, which sends a load, and what other load it met."""
        return visit.undisturbed(lambda: visit.under_load(self.server, send), self.bench)

    def peak(self):
        """Requests a second in a closed loop, as the other benches measure them."""

        def closed_loop(seconds):
            return load.wrk(self.server.port, PURCHASE, seconds, {self.bench.load_cpu})

        closed_loop(self.bench.warmup_s)
        found = self.undisturbed(lambda: closed_loop(self.bench.seconds))
        return found["requests"] / (found["duration_us"] / 1e6)

    def at_rate(self, rate):
        send = functools.partial(
            *(crowd.open_loop, self.bench, self.server.port, PURCHASE),
            *(rate, {self.bench.load_cpu}),
        )
        return {"rate": rate, **self.undisturbed(send)}

    def by_k6(self, binary, rate):
        command = k6_command(binary, self.server.port, rate, self.bench)
        timeout_s = self.bench.warmup_s + self.bench.seconds + crowd.PATIENCE_S

        def send():
            return load.parse_result(procs.run(command, timeout_s, {self.bench.load_cpu}))

        return {"rate": rate, **self.undisturbed(send)}


def _measure_row(row, bench):
    """[(fraction, what was found)]: the peak first, then each fraction of it on the same server."""
    with running(peers.ALL_SERVERS[row.server], bench) as server:
        sample_answer(server.port, row.request)
        target = Target(bench, server)
        peak = target.peak()
        return [(part, target.at_rate(max(1, round(peak * part)))) for part in FRACTIONS]


def _cross_check(bench, binary):
    """The same rate by both tools, on one server."""
    (row,) = (row for row in ROWS if row.name == K6_ROW)
    with running(peers.ALL_SERVERS[row.server], bench) as server:
        target = Target(bench, server)
        return {"crowd": target.at_rate(K6_RATE), "k6": target.by_k6(binary, K6_RATE)}


def summed_up(found):
    """Medians of the figures over rounds; the sum of what went wrong, which no median may hide."""
    # k6 does not tell this of itself.
    busy = [each["busy_permille"] for each in found if "busy_permille" in each]
    return {
        "rate": statistics.median(each["rate"] for each in found),
        **{name: statistics.median(each[name] for each in found) for name in FIGURES},
        "unsent": sum(each["unsent"] for each in found),
        "errors": sum(
            each.get(name, 0) for each in found for name in ("errors", "refused", "warmup_wrong")
        ),
        "load_busy": max(busy) / 1000 if busy else None,
        "foreign_cpus": max(each["foreign_cpus"] for each in found),
    }


def _line(name, part, figures):
    return [
        name,
        part,
        f"{figures['rate']:.0f}",
        *(f"{figures[key] / 1000:.2f}" for key in FIGURES),
        figures["unsent"],
        figures["errors"],
        "—" if figures["load_busy"] is None else f"{figures['load_busy']:.0%}",
        f"{figures['foreign_cpus']:.2f}",
    ]


def _print(found, checks):
    headers = ["row", "of its peak", "req/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms"]
    headers += ["unsent", "errors", "load busy", "foreign CPUs"]
    report.table(headers, [_line(each["row"], f"{each['fraction']:.0%}", each) for each in found])
    if checks:
        say(f"Both tools on {K6_ROW}; k6 counts from when it really sent:")
        report.table(headers, [_line(tool, "—", figures) for tool, figures in checks.items()])


def judge(found, sync_us):
    """The goal's figure and limit in milliseconds; None when its row was left out."""
    for each in found:
        if each["row"] == GOAL_ROW and each["fraction"] == GOAL_FRACTION:
            return {"p99_ms": each["p99_us"] / 1000, "limit_ms": goal_us(sync_us) / 1000}
    return None


def _announce(rows, bench, kind):
    requests.print_commands(rows, peers.ALL_SERVERS, bench)
    command = crowd.open_command(
        *(bench.build, "$PUBLIC_PORT", PURCHASE, "$RATE", bench.warmup_s, bench.seconds)
    )
    by_k6 = k6_command("k6", "$PUBLIC_PORT", K6_RATE, bench)
    for words in (command, by_k6):
        quoted = (word if "$" in word else shlex.quote(word) for word in words)
        say(f"  taskset -c {bench.load_cpu} {' '.join(quoted)}")
    say()
    parts = ", ".join(f"{part:.0%}" for part in FRACTIONS)
    say(
        f"{bench.rounds} rounds of {len(rows)} rows in turn, each a fresh server on one core: its "
        f"peak by wrk with {load.CONNECTIONS} connections, then {parts} of that by crowd with "
        f"{crowd.CONNECTIONS}, each {bench.warmup_s} s of warm-up and {bench.seconds} s measured, "
        f"on the other core. A latency counts from when the request was due. Ledgers are on {kind}."
    )


def run(bench):
    load.require_wrk()
    crowd.require(bench.build)
    kind = disk.require_disk(bench.scratch)
    rows, left_out = requests.present_rows(ROWS, peers.ALL_SERVERS, bench)
    if left_out:
        say(f"What is left out can be had by {peers.HINT}.")
    binary = k6.find()
    if binary is None:
        left_out["k6"] = f"k6 is missing ({k6.HINT})"
        say(f"left out: the same rate by k6 ({left_out['k6']})")
    _announce(rows, bench, kind)
    rounds = {(row.name, part): [] for row in rows for part in FRACTIONS}
    checks, syncs_us = {"crowd": [], "k6": []}, []
    for number in range(bench.rounds):
        syncs_us.append(disk.sync_us(bench.scratch))
        for row in rows:
            for part, found in _measure_row(row, bench):
                rounds[row.name, part].append(found)
        if binary is not None:
            for tool, found in _cross_check(bench, binary).items():
                checks[tool].append(found)
        middle = ", ".join(f"{rounds[row.name, 0.5][-1]['p99_us'] / 1000:.2f}" for row in rows)
        say(f"  round {number + 1}: sync {syncs_us[-1]:.0f} µs; p99 at half the peak, ms: {middle}")
    return _tell(rounds, checks, syncs_us, {"left_out": left_out, "file_system": kind})


def _tell(rounds, checks, syncs_us, facts):
    """Prints it all; what goes to the file."""
    found = [
        {"row": name, "fraction": part, **summed_up(visits)}
        for (name, part), visits in rounds.items()
    ]
    both = {tool: summed_up(visits) for tool, visits in checks.items() if visits}
    sync_us = statistics.median(syncs_us)
    goal = judge(found, sync_us)
    say(f"Medians over the rounds; unsent and errors are sums. {visit.FOREIGN}")
    say()
    _print(found, both)
    if goal:
        say(
            f"p99 of {GOAL_ROW} at {GOAL_FRACTION:.0%}, in ms: {goal['p99_ms']:.2f}; "
            f"{GOAL_SYNCS} syncs of {sync_us:.0f} µs and {GOAL_ADDED_US / 1000:g} ms, "
            f"{report.goal(goal['p99_ms'], round(goal['limit_ms'], 2))}"
        )
        say()
    return {
        "sync_us": sync_us,
        "rows": found,
        "rounds": [
            {"row": name, "fraction": part, "visits": visits}
            for (name, part), visits in rounds.items()
        ],
        "cross_check": both,
        "goal": goal,
        **facts,
    }
