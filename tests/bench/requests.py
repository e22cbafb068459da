"""What a request costs: CPU time and instructions of all the server's processes, with the rate and
the p99 latency of a closed loop of 64 connections beside it.

The figure is CPU time per request: it does not depend on how fast the load generator is.  Requests
per second are those of this pair of cores, and the server is not always the slower side of it."""

import re
import shlex
import shutil
import subprocess
import tempfile
import pathlib
import time

from . import figures, load, procs, report
from .procs import BenchError
from .report import say
from .targets import RATIOS, ROWS, SERVERS, describe, running, sample_answer

# Instructions are the difference of two runs, which leaves start and end out.
COUNTED_REQUESTS = (64 * 20, 64 * 120)
PROFILED_READY_TIMEOUT_S = 60


def _measure(row, bench):
    """One visit of one row: a fresh server, warm-up, then the load that counts."""
    with running(SERVERS[row.server], bench) as server:
        answer = sample_answer(server.port, row.request)
        load.wrk(server.port, row.request, bench.warmup_s, {bench.load_cpu})
        pids = server.pids()
        cpu, busy, began = procs.cpu_ns(pids), procs.busy_s(), time.monotonic()
        result = load.wrk(server.port, row.request, bench.seconds, {bench.load_cpu})
        cpu, busy, wall = (procs.cpu_ns(pids) - cpu, procs.busy_s() - busy, time.monotonic() - began)
        if set(server.pids()) != set(pids):
            raise BenchError(f"{row.name}: a process of the server ended or began under load")
    return {
        "rps": result["requests"] / (result["duration_us"] / 1e6),
        "p99_us": result["p99_us"],
        "cpu_us": cpu / 1000 / result["requests"],
        "server_busy": cpu / 1e9 / wall,
        # wrk keeps its core busy; what is left over ran on this machine and was not ours.
        "foreign_cpus": max(0.0, (busy - cpu / 1e9) / wall - 1),
        "answer_bytes": len(answer.head) + len(answer.body),
    }


# ---- instructions --------------------------------------------------------------------------------


def perf_counts():
    """Whether this machine lets perf count instructions (many virtual machines do not)."""
    if shutil.which("perf") is None:
        return False
    done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions", "true"],
                          capture_output=True, text=True, check=False)
    return done.returncode == 0 and parse_perf(done.stderr) is not None


def parse_perf(output):
    """The count in perf's -x, lines (one a kind of core), or None where it was not counted."""
    counts = [int(found[1]) for found in re.finditer(r"^(\d+),[^,]*,[^,]*instructions", output, re.M)]
    return sum(counts) if counts else None


def _instructions_by_perf(row, bench):
    """User and kernel instructions of the server's processes while wrk runs."""
    with running(SERVERS[row.server], bench) as server, tempfile.NamedTemporaryFile("r") as counted:
        load.wrk(server.port, row.request, bench.warmup_s, {bench.load_cpu})
        pids = ",".join(str(pid) for pid in server.pids())
        command = ["perf", "stat", "-x,", "-e", "instructions", "-o", counted.name, "-p", pids, "--"]
        command += load.wrk_command(server.port, row.request, bench.seconds)
        said = procs.run(command, bench.seconds + 30, {bench.load_cpu})
        count = parse_perf(counted.read())
    if count is None:
        raise BenchError("perf counted no instructions")
    return count / load.parse_wrk(said)["requests"]


def _callgrind_total(row, bench, count):
    """User instructions of all the server's processes, from start to end, for `count` requests."""
    with tempfile.TemporaryDirectory(prefix="ticketd-bench-") as counted:
        wrapper = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={counted}/%p"]
        with running(SERVERS[row.server], bench, wrapper, PROFILED_READY_TIMEOUT_S) as server:
            load.lockstep(server.port, row.request, count)
        total = 0
        for file in pathlib.Path(counted).iterdir():
            found = re.search(r"^totals: (\d+)", file.read_text(errors="replace"), re.M)
            total += int(found[1]) if found else 0
    if total == 0:
        raise BenchError("callgrind left no totals")
    return total


def _instructions_by_callgrind(row, bench):
    few, many = COUNTED_REQUESTS
    extra = _callgrind_total(row, bench, many) - _callgrind_total(row, bench, few)
    return extra / (many - few)


def _choose_counter():
    if perf_counts():
        return _instructions_by_perf, "perf stat -e instructions (user and kernel), under wrk"
    if shutil.which("valgrind"):
        few, many = COUNTED_REQUESTS
        return _instructions_by_callgrind, (
            f"callgrind (user space only): {many} requests less {few}, 64 connections in lockstep")
    return None, "not counted: neither perf with hardware counters nor valgrind is here"


def _count_instructions(rows, bench):
    counter, how = _choose_counter()
    counts = {}
    for row in rows if counter else []:
        try:
            counts[row.name] = counter(row, bench)
        except (BenchError, OSError) as error:
            say(f"instructions of {row.name}: {error}")
    return counts, how


# ---- the bench -----------------------------------------------------------------------------------


def _present_rows(bench):
    rows = []
    for row in ROWS:
        missing = SERVERS[row.server].missing(bench.build)
        if missing:
            say(f"left out: {row.name} ({missing} is missing)")
        else:
            rows.append(row)
    return rows


def _print_commands(rows, bench):
    say("Commands:")
    for server in dict.fromkeys(row.server for row in rows):
        for line in describe(SERVERS[server], bench):
            say(f"  {line}")
    for request in dict.fromkeys(row.request for row in rows):
        command = load.wrk_command("$PUBLIC_PORT", request, bench.seconds)
        say(f"  taskset -c {bench.load_cpu} " + " ".join(
            word if "$" in word else shlex.quote(word) for word in command))
    say()


def _print_rows(rows, rounds, instructions):
    lines = []
    for row in rows:
        cpu, rps, p99 = (figures.summary([r[key] for r in rounds[row.name]])
                         for key in ("cpu_us", "rps", "p99_us"))
        lines.append([
            row.name,
            f"{cpu['median']:.2f}",
            f"{cpu['min']:.2f}…{cpu['max']:.2f}",
            f"{cpu['spread']:.1%}",
            f"{instructions[row.name]:.0f}" if row.name in instructions else "—",
            f"{rps['median']:.0f}",
            f"{p99['median'] / 1000:.2f}",
            f"{max(r['server_busy'] for r in rounds[row.name]):.0%}",
            rounds[row.name][0]["answer_bytes"],
            f"{max(r['foreign_cpus'] for r in rounds[row.name]):.2f}",
        ])  # fmt: skip
    report.table(["row", "CPU µs/req", "min…max", "spread", "instr/req", "req/s", "p99 ms",
                  "server busy", "answer B", "foreign CPUs"], lines)


def _ratios(rounds, instructions):
    found = []
    for ratio in RATIOS:
        if ratio.row not in rounds or ratio.to not in rounds:
            continue
        cpu = figures.summary(figures.round_ratios(
            *([r["cpu_us"] for r in rounds[name]] for name in (ratio.row, ratio.to))))
        rps = figures.summary(figures.round_ratios(
            *([r["rps"] for r in rounds[name]] for name in (ratio.row, ratio.to))))
        counted = None
        if ratio.row in instructions and ratio.to in instructions:
            counted = instructions[ratio.row] / instructions[ratio.to]
        found.append({"row": ratio.row, "to": ratio.to, "goal": ratio.goal, "cpu": cpu,
                      "rps": rps, "instructions": counted})
    return found


def _print_ratios(ratios):
    report.table(
        ["ratio", "CPU", "min…max", "goal", "instr", "req/s"],
        [[f"{ratio['row']} / {ratio['to']}",
          f"{ratio['cpu']['median']:.3f}",
          f"{ratio['cpu']['min']:.3f}…{ratio['cpu']['max']:.3f}",
          report.goal(ratio["cpu"]["median"], ratio["goal"]) if ratio["goal"] else "",
          f"{ratio['instructions']:.2f}" if ratio["instructions"] else "—",
          f"{ratio['rps']['median']:.3f}"] for ratio in ratios],
    )  # fmt: skip


def run(bench):
    load.require_wrk()
    rows = _present_rows(bench)
    _print_commands(rows, bench)
    say(f"{bench.rounds} rounds of {len(rows)} rows in turn, each a fresh server, {bench.warmup_s} s "
        f"warm-up and {bench.seconds} s measured; 64 keepalive connections.")
    rounds = {row.name: [] for row in rows}
    for number in range(bench.rounds):
        for row in rows:
            rounds[row.name].append(_measure(row, bench))
        costs = ", ".join(f"{rounds[row.name][-1]['cpu_us']:.2f}" for row in rows)
        say(f"  round {number + 1}: CPU µs/request {costs}")
    instructions, how = _count_instructions(rows, bench) if bench.instructions else ({}, "not asked")
    say(f"Instructions: {how}.")
    say("CPU: schedstat, all processes of the server, medians. Foreign CPUs: load on this machine "
        "that was not the bench's; above 0.1 the figures are disturbed.")
    say()
    _print_rows(rows, rounds, instructions)
    ratios = _ratios(rounds, instructions)
    _print_ratios(ratios)
    return {"rounds": rounds, "instructions": instructions, "instructions_by": how, "ratios": ratios}
