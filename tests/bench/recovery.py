"""How a server comes back with a large ledger: every sale keyed, every key still to be remembered.

Twice: with the ledger dropped from the kernel's memory, as after a power cut, and with it there, as
after a crash of the server alone."""

import json
import pathlib
import time

from . import disk, procs, report
from .client import Connection, Request
from .procs import BenchError
from .report import say
from .targets import AVAILABLE, PURCHASE, running, scratch_directory, ticketd
from .visit import QUIET_CPUS

SPAN_S = 3600  # the sales' ages; keys live for a day
SPARE_KEYS = 100_000  # so that new keyed sales are possible after 10 million old ones
SECONDS_GOAL = 8
MEMORY_GOAL_MIB = 600
FILL_TIMEOUT_S = 1800
READY_TIMEOUT_S = 300
STOCK = 2**31 - 1  # what fill-ledger begins with


def keyed_server(ledger, sales, workers=0, pinning="any"):
    """One that has room for the keys of so many sales, and of some more."""
    return ticketd(
        workers=workers,
        pinning=pinning,
        ledger=ledger,
        ready_path="/ready",
        IDEMPOTENCY_KEYS_MAX=sales + SPARE_KEYS,
    )


def fill(bench, path, sales):
    """Writes a ledger of so many sales, each with its key, and says so."""
    command = [str(pathlib.Path(bench.build) / "tests/bench/fill-ledger"), str(path), str(sales)]
    began = time.monotonic()
    procs.run([*command, str(SPAN_S)], FILL_TIMEOUT_S)
    say(
        f"A ledger of {sales} keyed sales of the last {SPAN_S} s, "
        f"{path.stat().st_size / 2**20:.0f} MiB, written in {time.monotonic() - began:.0f} s."
    )


def _keyed(connection, key):
    answer = connection.exchange(Request(PURCHASE.method, PURCHASE.path, PURCHASE.body, key))
    if answer.status != 200:
        raise BenchError(f"a purchase with a key: {answer.status} {answer.body[:200]!r}")
    return json.loads(answer.body), b"idempotent-replayed: true" in answer.head.lower()


def _check(server, sales, visit):
    """That it came back with everything: the stock, an old key and a new one.  Each visit has sold
    one ticket more."""
    with Connection(server.port) as connection:
        available = json.loads(connection.exchange(AVAILABLE).body)["qty"]
        for number in (1, sales):
            old, replayed = _keyed(connection, f"bench-{number}")
            if not replayed or old["remaining"] != STOCK - number:
                raise BenchError(f"the key of sale {number} was not brought back: {old}")
        new, replayed = _keyed(connection, f"new-{visit}")
    if available != STOCK - sales - visit or replayed or new["remaining"] != available - 1:
        raise BenchError(f"the stock was not brought back: {available} available, {new}")


def _processes(server):
    return {
        pid: {
            "title": procs.title(pid),
            "cpu_s": procs.cpu_ns([pid]) / 1e9,
            **procs.memory_kib(pid),
        }
        for pid in server.pids()
    }


def _measure(bench, path, sales, visit):
    busy, began = procs.busy_s(), time.monotonic()
    entry = keyed_server(f"sqlite:{path}", sales)
    with running(entry, bench, ready_timeout_s=READY_TIMEOUT_S) as one:
        ready_s = one.ready_s
        busy, wall = procs.busy_s() - busy, time.monotonic() - began
        processes = _processes(one)
        _check(one, sales, visit)
    cpu_s = sum(found["cpu_s"] for found in processes.values())
    return {
        "ready_s": ready_s,
        "cpu_s": cpu_s,
        "foreign_cpus": max(0.0, (busy - cpu_s) / wall),
        "ledger_bytes": path.stat().st_size,
        "pss_mib": sum(found["pss"] for found in processes.values()) / 1024,
        "processes": processes,
    }


def bound_by(found):
    """What the time went into, as far as the figures tell."""
    share = found["cpu_s"] / found["ready_s"]
    speed = found["ledger_bytes"] / 2**20 / found["ready_s"]
    what = "one core: it loads in one process" if share > 0.8 else "the disk, or other load"
    return f"{share:.0%} of the time on a CPU, {speed:.0f} MiB of ledger a second: bound by {what}"


def _print(results):
    for name, found in results.items():
        say(f"{name}: {bound_by(found)}.")
    say()
    report.table(
        ["ledger", "ready s", "goal", "CPU s", "whole tree PSS MiB", "goal", "foreign CPUs"],
        [
            [
                name,
                f"{found['ready_s']:.2f}",
                report.goal(found["ready_s"], SECONDS_GOAL),
                f"{found['cpu_s']:.2f}",
                f"{found['pss_mib']:.0f}",
                report.goal(found["pss_mib"], MEMORY_GOAL_MIB),
                f"{found['foreign_cpus']:.2f}",
            ]
            for name, found in results.items()
        ],
    )
    report.table(
        ["right after ready, KiB", "PSS", "RSS", "anonymous", "CPU s"],
        [
            [m["title"], m["pss"], m["rss"], m["anonymous"], f"{m['cpu_s']:.2f}"]
            for m in list(results.values())[-1]["processes"].values()
        ],
    )
    say("PSS: each page divided among those who map it, so that the tree's sum counts it once.")
    say()


def run(bench):
    disk.require_disk(bench.scratch)
    if missing := ticketd().missing(bench.build):
        say(f"left out: {missing} is missing")
        return {}
    results = {}
    with scratch_directory(bench) as scratch:
        path = pathlib.Path(scratch).resolve() / "ledger.db"
        fill(bench, path, bench.sales)
        for visit, name in enumerate(("read from the disk", "still in the kernel's memory")):
            if visit == 0:
                disk.forget_cached(path)
            procs.wait_for_quiet(QUIET_CPUS, bench.patience_s)
            results[name] = _measure(bench, path, bench.sales, visit)
    _print(results)
    return {"sales": bench.sales, **results}
