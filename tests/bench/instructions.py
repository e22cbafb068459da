"""Instructions per request: by the machine's own counters where perf may read them, else by
callgrind on a fixed number of requests."""

import pathlib
import re
import shutil
import subprocess
import tempfile

from . import load, procs
from .procs import BenchError
from .report import say
from .targets import SERVERS, running

# Instructions are the difference of two runs, which leaves start and end out.
COUNTED_REQUESTS = (64 * 20, 64 * 120)
PROFILED_READY_TIMEOUT_S = 60
PROFILED_TIMEOUT_S = 120


def perf_counts():
    """Whether this machine lets perf count instructions (many virtual machines do not)."""
    if shutil.which("perf") is None:
        return False
    done = subprocess.run(
        ["perf", "stat", "-x,", "-e", "instructions", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and parse_perf(done.stderr) is not None


def parse_perf(output, event="instructions"):
    """The count in perf's -x, lines (one a kind of core), or None where it was not counted."""
    counts = [int(found[1]) for found in re.finditer(rf"^(\d+),[^,]*,[^,]*{event}", output, re.M)]
    return sum(counts) if counts else None


def _instructions_by_perf(row, bench):
    """User and kernel instructions of the server's processes while wrk runs."""
    with running(SERVERS[row.server], bench) as server, tempfile.NamedTemporaryFile("r") as counted:
        load.wrk(server.port, row.request, bench.warmup_s, {bench.load_cpu})
        pids = ",".join(str(pid) for pid in server.pids())
        command = [
            "perf",
            "stat",
            "-x,",
            "-e",
            "instructions",
            "-o",
            counted.name,
            "-p",
            pids,
            "--",
        ]
        command += load.wrk_command(server.port, row.request, bench.seconds)
        said = procs.run(command, bench.seconds + 30, {bench.load_cpu})
        count = parse_perf(counted.read())
    if count is None:
        raise BenchError("perf counted no instructions")
    return count / load.parse_result(said)["requests"]


def callgrind(folder):
    """What goes in front of a command, so that callgrind leaves a file for each process there."""
    return ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/%p"]


def of_command(command, timeout_s=PROFILED_TIMEOUT_S):
    """({"instructions": …, and with perf "cycles": …} of a program from start to end, how they were
    counted)."""
    with tempfile.TemporaryDirectory(prefix="ticketd-bench-") as counted:
        if perf_counts():
            said = f"{counted}/perf"
            perf = ["perf", "stat", "-x,", "-e", "instructions,cycles", "-o", said, "--"]
            procs.run([*perf, *command], timeout_s)
            output = pathlib.Path(said).read_text(encoding="utf-8")
            counts = {name: parse_perf(output, name) for name in ("instructions", "cycles")}
            return (
                {name: count for name, count in counts.items() if count is not None},
                "perf stat (user and kernel)",
            )
        if not shutil.which("valgrind"):
            raise BenchError("neither perf with hardware counters nor valgrind is here")
        procs.run([*callgrind(counted), *command], timeout_s)
        return {"instructions": _read_totals(counted)}, "callgrind (user space only)"


def _read_totals(folder):
    """What callgrind counted of all processes whose files are in the folder."""
    total = 0
    for file in pathlib.Path(folder).iterdir():
        found = re.search(r"^totals: (\d+)", file.read_text(errors="replace"), re.M)
        total += int(found[1]) if found else 0
    if total == 0:
        raise BenchError("callgrind left no totals")
    return total


def _callgrind_total(row, bench, count):
    """User instructions of all the server's processes, from start to end, for `count` requests."""
    with tempfile.TemporaryDirectory(prefix="ticketd-bench-") as counted:
        wrapper = callgrind(counted)
        with running(SERVERS[row.server], bench, wrapper, PROFILED_READY_TIMEOUT_S) as server:
            load.lockstep(server.port, row.request, count)
        return _read_totals(counted)


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
            f"callgrind (user space only): {many} requests less {few}, 64 connections in lockstep"
        )
    return None, "not counted: neither perf with hardware counters nor valgrind is here"


def count(rows, bench):
    """({row name: instructions a request}, how they were counted)."""
    counter, how = _choose_counter()
    counts = {}
    for row in rows if counter else []:
        try:
            counts[row.name] = counter(row, bench)
        except (BenchError, OSError) as error:
            say(f"instructions of {row.name}: {error}")
    return counts, how
