"""How long until the last ticket is sold: a thousand clients, each purchase with a key of its own
and answered only once it is on the disk; and the books afterwards, in which each sale must stand
once."""

import contextlib
import json
import sqlite3
import time

from . import crowd, disk, figures, procs, report, visit
from .procs import BenchError
from .report import say
from .targets import (
    ON_DISK,
    PURCHASE,
    READY_TIMEOUT_S,
    describe,
    microservices,
    running,
    ticketd,
)

TICKETS = 80_000
CONNECTIONS = 1000
SECONDS_MAX = 60
GOAL_S = 2
AUDIT_TIMEOUT_S = 60
ALL_SERVE = " workers serve"  # in the server's log
# As many workers as cores, and everything wherever the scheduler puts it.
SIZE = {"workers": 0, "pinning": "any", "ledger": ON_DISK}
SERVERS = {
    "monolith": ticketd(stock=TICKETS, **SIZE),
    "microservices": microservices(stock=TICKETS, **SIZE),
}


def orders_in(ledger):
    """(orders, different keys, tickets) of the ledger's file."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        return database.execute(
            "SELECT count(*), count(DISTINCT key), coalesce(sum(quantity), 0) FROM orders"
        ).fetchone()


def check_sold(result, tickets, connections):
    """What the clients were told: all is sold, to somebody who knows it.  Else a BenchError."""
    if result["errors"]:
        raise BenchError(f"{result['errors']} purchases have no answer: {result}")
    if result["sold_out"] != connections:
        raise BenchError(f"not sold out within {SECONDS_MAX} s: {result}")
    if result["sold"] != tickets:
        raise BenchError(f"{result['sold']} sales of {tickets} tickets were confirmed: {result}")


def check_orders(found, sold):
    """What is on the disk is what was confirmed, each key once.  Else a BenchError."""
    if found != (sold, sold, sold):
        raise BenchError(
            "the ledger has {} orders with {} keys and {} tickets".format(*found)
            + f", and {sold} sales were confirmed"
        )


def audit(build, ledger):
    """ticketctl's own count of the books; a BenchError when they do not agree."""
    command = [f"{build}/ticketctl", "audit", "--json", "--ledger-url", f"sqlite:{ledger}"]
    command += ["--control-socket", f"{ledger}.control"]
    said = procs.run(command, AUDIT_TIMEOUT_S)
    if not json.loads(said.splitlines()[-1])["agrees"]:
        raise BenchError(f"the audit does not agree:\n{said}")


def _wait_for_workers(server):
    """The first worker answers before the last one has begun."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while ALL_SERVE not in server.output():
        if time.monotonic() > deadline:
            raise BenchError(f"not all workers serve:\n{server.output()}")
        time.sleep(0.02)


def measure(entry, bench, tickets=TICKETS, connections=CONNECTIONS):
    """Sells all that the server has, stops it, and looks at its books."""
    with running(entry, bench) as server:
        _wait_for_workers(server)
        ledger = server.scratch / "ledger.db"
        result = visit.under_load(
            server,
            lambda: crowd.sell_out(bench, server.port, PURCHASE, connections, SECONDS_MAX),
            "sold",
        )
        check_sold(result, tickets, connections)
        server.started.stop()
        found = orders_in(ledger)
        check_orders(found, result["sold"])
        audit(bench.build, ledger)
    seconds = result["duration_us"] / 1e6
    return {
        **result,
        "seconds": seconds,
        "per_s": result["sold"] / seconds,
        "orders": found[0],
    }


MEDIANS = ("seconds", "p50_us", "p99_us", "p999_us", "max_us", "sold", "orders", "per_s", "cpu_us")


def summed_up(name, visits):
    """Medians over rounds, the extremes of the seconds, and in how many rounds the goal was met."""
    each = {key: figures.summary([found[key] for found in visits]) for key in MEDIANS}
    return {
        "row": name,
        **{key: summary["median"] for key, summary in each.items()},
        "seconds_min": each["seconds"]["min"],
        "seconds_max": each["seconds"]["max"],
        "refused": sum(found["refused"] for found in visits),
        "met": sum(found["seconds"] <= GOAL_S for found in visits),
        "rounds": len(visits),
        "foreign_cpus": max(found["foreign_cpus"] for found in visits),
    }


def _print(rows):
    report.table(
        ["mode", "seconds", "min…max", "slowest round", "rounds met", "sales/s", "p50 ms"]
        + ["p99 ms", "p99.9 ms", "max ms", "CPU µs/sale", "orders on disk", "refused"]
        + ["foreign CPUs"],
        [
            [
                row["row"],
                f"{row['seconds']:.2f}",
                f"{row['seconds_min']:.2f}…{row['seconds_max']:.2f}",
                report.goal(row["seconds_max"], GOAL_S),
                f"{row['met']} of {row['rounds']}",
                f"{row['per_s']:.0f}",
                *(f"{row[key] / 1000:.1f}" for key in ("p50_us", "p99_us", "p999_us", "max_us")),
                f"{row['cpu_us']:.2f}",
                f"{row['orders']:.0f}",
                row["refused"],
                f"{row['foreign_cpus']:.2f}",
            ]
            for row in rows
        ],
    )


def _announce(bench, kind):
    say("Commands:")
    for entry in SERVERS.values():
        for line in describe(entry, bench):
            say(f"  {line}")
    command = crowd.sell_out_command(
        bench.build, "$PUBLIC_PORT", PURCHASE, CONNECTIONS, SECONDS_MAX
    )
    say(f"  {' '.join(command[:-1])} '{command[-1]}'")
    say()
    say(
        f"{bench.rounds} rounds of both modes in turn, each a fresh server with a ledger of its own "
        f"on {kind}: {TICKETS} tickets, one a purchase, each with its own Idempotency-Key, over "
        f"{CONNECTIONS} connections, until every one of them is told that all is sold. Nothing is "
        "pinned: the load runs on the server's cores. The seconds are from the first purchase sent "
        "to the last success told. After each the server is stopped, and its ledger is counted and "
        "audited."
    )


def run(bench):
    crowd.require(bench.build)
    kind = disk.require_disk(bench.scratch)
    if missing := SERVERS["monolith"].missing(bench.build):
        say(f"left out: {missing} is missing")
        return {}
    _announce(bench, kind)
    rounds = {name: [] for name in SERVERS}
    for number in range(bench.rounds):
        for name, entry in SERVERS.items():
            rounds[name].append(visit.undisturbed(lambda entry=entry: measure(entry, bench), bench))
        seconds = ", ".join(f"{visits[-1]['seconds']:.2f}" for visits in rounds.values())
        say(f"  round {number + 1}: seconds {seconds}")
    say(f"Medians over the rounds; CPU: all processes of the server. {visit.FOREIGN}")
    say()
    rows = [summed_up(name, visits) for name, visits in rounds.items()]
    _print(rows)
    return {
        "rows": rows,
        "rounds": rounds,
        "goal": GOAL_S,
        "tickets": TICKETS,
        "connections": CONNECTIONS,
        "file_system": kind,
    }
