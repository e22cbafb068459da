"""What a request costs: CPU time and instructions of all the server's processes, with the rate and
the latencies of a closed loop of 64 connections and the memory beside it.

The figure is CPU time per request: it does not depend on how fast the load generator is.  Requests
per second are those of this pair of cores, and the server is not always the slower side of it."""

import shlex

from . import figures, load, report, visit
from . import instructions as instructions_of
from .report import say
from .targets import RATIOS, ROWS, SERVERS, describe


def present_rows(all_rows, servers, bench):
    """The rows whose server is here, and {row: what the others lack}."""
    rows, left_out = [], {}
    for row in all_rows:
        missing = servers[row.server].missing(bench.build)
        if missing:
            left_out[row.name] = f"{missing} is missing"
            say(f"left out: {row.name} ({left_out[row.name]})")
        else:
            rows.append(row)
    return rows, left_out


def print_commands(rows, servers, bench):
    say("Commands:")
    keys = dict.fromkeys(row.server for row in rows)
    for line in dict.fromkeys(line for key in keys for line in describe(servers[key], bench)):
        say(f"  {line}")
    for request in dict.fromkeys(row.request for row in rows):
        command = load.wrk_command("$PUBLIC_PORT", request, bench.seconds)
        say(
            f"  taskset -c {bench.load_cpu} "
            + " ".join(word if "$" in word else shlex.quote(word) for word in command)
        )
    say()


def series(rounds, row_name, key):
    """One figure of a row, round by round."""
    return [found[key] for found in rounds[row_name]]


def _print_rows(rows, rounds, instructions):
    lines = []
    for row in rows:
        cpu, rps, p99, p999, pss = (
            figures.summary(series(rounds, row.name, key))
            for key in ("cpu_us", "rps", "p99_us", "p999_us", "pss_kib")
        )
        lines.append(
            [
                row.name,
                f"{cpu['median']:.2f}",
                f"{cpu['min']:.2f}…{cpu['max']:.2f}",
                f"{cpu['spread']:.1%}",
                f"{instructions[row.name]:.0f}" if row.name in instructions else "—",
                f"{rps['median']:.0f}",
                f"{p99['median'] / 1000:.2f}",
                f"{p999['median'] / 1000:.2f}",
                f"{pss['median'] / 1024:.1f}",
                f"{max(series(rounds, row.name, 'server_busy')):.0%}",
                rounds[row.name][0]["answer_bytes"],
                f"{max(series(rounds, row.name, 'foreign_cpus')):.2f}",
            ]
        )
    report.table(
        ["row", "CPU µs/req", "min…max", "spread", "instr/req", "req/s"]
        + ["p99 ms", "p99.9 ms", "PSS MiB", "server busy", "answer B", "foreign CPUs"],
        lines,
    )


def ratios_of(ratios, rounds, instructions):
    """Of the ratios whose two sides were measured: one a round, summed up."""
    found = []
    for ratio in ratios:
        if ratio.row not in rounds or ratio.to not in rounds:
            continue
        cpu, rps = (
            figures.summary(
                figures.round_ratios(series(rounds, ratio.row, key), series(rounds, ratio.to, key))
            )
            for key in ("cpu_us", "rps")
        )
        counted = None
        if ratio.row in instructions and ratio.to in instructions:
            counted = instructions[ratio.row] / instructions[ratio.to]
        found.append(
            {
                "row": ratio.row,
                "to": ratio.to,
                "goal": ratio.goal,
                "cpu": cpu,
                "rps": rps,
                "instructions": counted,
            }
        )
    return found


def print_ratios(ratios):
    report.table(
        ["ratio", "CPU", "min…max", "goal", "instr", "req/s"],
        [
            [
                f"{ratio['row']} / {ratio['to']}",
                f"{ratio['cpu']['median']:.3f}",
                f"{ratio['cpu']['min']:.3f}…{ratio['cpu']['max']:.3f}",
                report.goal(ratio["cpu"]["median"], ratio["goal"]) if ratio["goal"] else "",
                f"{ratio['instructions']:.2f}" if ratio["instructions"] else "—",
                f"{ratio['rps']['median']:.3f}",
            ]
            for ratio in ratios
        ],
    )


def run(bench):
    load.require_wrk()
    rows, left_out = present_rows(ROWS, SERVERS, bench)
    print_commands(rows, SERVERS, bench)
    say(
        f"{bench.rounds} rounds of {len(rows)} rows in turn, each a fresh server, "
        f"{bench.warmup_s} s warm-up and {bench.seconds} s measured; 64 keepalive connections."
    )
    rounds = {row.name: [] for row in rows}
    for number in range(bench.rounds):
        for row in rows:
            rounds[row.name].append(
                visit.measure_undisturbed(SERVERS[row.server], row.request, bench)
            )
        costs = ", ".join(f"{rounds[row.name][-1]['cpu_us']:.2f}" for row in rows)
        say(f"  round {number + 1}: CPU µs/request {costs}")
    instructions, how = (
        instructions_of.count(rows, bench) if bench.instructions else ({}, "not asked")
    )
    say(f"Instructions: {how}.")
    say(
        "CPU: all processes of the server, medians; ticketd's sales are kept in memory, or on the "
        f"disk where the row says durable. {visit.FOREIGN}"
    )
    say()
    _print_rows(rows, rounds, instructions)
    ratios = ratios_of(RATIOS, rounds, instructions)
    print_ratios(ratios)
    return {
        "rounds": rounds,
        "instructions": instructions,
        "instructions_by": how,
        "ratios": ratios,
        "left_out": left_out,
    }
