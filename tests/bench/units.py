"""What the units make of a start, a restart, a reload and an upgrade: how long a start takes, how
many requests fail meanwhile, and how long the unluckiest client waits; and how exposed each is.

In the container of tests/systemd, whose clients buy all the time: what they were told is compared
with the stock afterwards, and the ledger is audited."""

import pathlib
import sys

from . import figures, report
from .procs import BenchError
from .report import say

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / folder) for folder in ("integration", "systemd")]

import manager as managers  # noqa: E402
from harness import eventually  # noqa: E402
from unit import POOLS, Binary, Unit, buyers  # noqa: E402

EXPOSURE_GOAL = 1.5
STOCK = 2_000_000_000
LEDGER = "sqlite:/var/lib/ticketd/ledger.db"
# Answers before and after each action, so that load is known to flow.
ANSWERS = 200
# Whose pool is acted on → where the clients buy: the public never meets the vacancy pool.
PUBLIC = {"monolith": "monolith", "vacancy": "ticket", "ticket": "ticket"}
UPGRADE = "upgrade"
ACTIONS = ("restart", "reload", UPGRADE)


def _starts(unit, rounds):
    """Milliseconds of that many starts, from systemd's decision to READY=1."""
    found = []
    for _ in range(rounds):
        unit.stop()
        unit.start()
        found.append(unit.start_ms())
    return found


def _act(unit, binary, action, number):
    if action == UPGRADE:
        # the odd ones are another version, the even ones the way back
        binary.upgrade(b"another version" if number % 2 == 0 else b"")
    else:
        unit.systemctl(action)


def _under_load(unit, public, binary, action, rounds):
    """The longest gap of a client in each of that many actions, while clients buy; and their count."""
    gaps = []
    with buyers(public) as load:
        for number in range(rounds):
            load.wait_answers(ANSWERS)
            load.longest_gap_s = 0.0
            _act(unit, binary, action, number)
            load.wait_each()
            gaps.append(load.longest_gap_s * 1000)
    return {
        "unit": unit.service,
        "action": action,
        "answered": load.answered,
        "failed": len(load.failures),
        "failures": load.failures[:5],
        "sold": load.sold,
        "gaps_ms": gaps,
    }


def _measure_pool(units, pool, rounds):
    unit, public = units[pool], units[PUBLIC[pool]]
    starts = _starts(unit, rounds)
    public.start()
    eventually(public.is_ready, f"{public.service} is ready")
    stock = units["monolith" if pool == "monolith" else "vacancy"]
    before = stock.available()
    with Binary(unit) as binary:
        loads = [_under_load(unit, public, binary, action, rounds) for action in ACTIONS]
    sold = sum(load["sold"] for load in loads)
    if before - stock.available() != sold and not any(load["failed"] for load in loads):
        raise BenchError(f"{before - stock.available()} tickets are gone, {sold} were sold")
    return {"exposure": unit.exposure(), "starts_ms": starts, "loads": loads}


def _measure(manager, rounds):
    units = {pool: Unit(manager, pool) for pool in POOLS}
    units["monolith"].setting(INITIAL_STOCK=STOCK)
    found = {"monolith": _measure_pool(units, "monolith", rounds)}
    units["monolith"].stop()
    units["vacancy"].start()
    found |= {pool: _measure_pool(units, pool, rounds) for pool in ("ticket", "vacancy")}
    for pool in ("ticket", "vacancy"):
        units[pool].stop()
    say(manager.run("ticketctl", "--ledger-url", LEDGER, "audit").stdout.splitlines()[-1])
    say()
    return found


def _print(found, rounds):
    rows = []
    for pool, one in found.items():
        starts = figures.summary(one["starts_ms"])
        rows.append(
            [
                f"ticket-{pool}.service",
                one["exposure"],
                report.goal(one["exposure"], EXPOSURE_GOAL),
                f"{starts['median']:.0f}",
                f"{starts['min']:.0f}…{starts['max']:.0f}",
            ]
        )
    report.table(["unit", "exposure", "goal", "start to ready, ms", "min…max"], rows)
    rows = []
    for one in (load for pool in found.values() for load in pool["loads"]):
        gaps = figures.summary(one["gaps_ms"])
        rows.append(
            [
                f"{one['action']} of {one['unit']}",
                one["answered"] + one["failed"],
                one["failed"],
                report.goal(one["failed"], 0),
                f"{gaps['median']:.0f}",
                f"{gaps['max']:.0f}",
            ]
        )
    report.table(
        [f"{rounds} times, under load", "requests", "failed", "goal"]
        + ["longest gap of a client, ms: median", "worst"],
        rows,
    )


def run(bench):
    if reason := managers.why_not():
        say(f"left out: {reason}")
        return {"left_out": reason}
    manager = managers.Manager(bench.build)
    try:
        leave_network = manager.enter_network()
        try:
            found = _measure(manager, bench.rounds)
        finally:
            leave_network()
    except AssertionError as error:  # how the tests' parts say that something did not happen
        raise BenchError(str(error)) from error
    finally:
        manager.close()
    say(
        "Start: of the service alone, by systemd's clock; the ticket pool's does not wait for the "
        "vacancy pool. Clients: eight, each buys one ticket after the other; those of the vacancy "
        "pool's rows buy at the ticket pool. Gap: from one answer to the same client's next."
    )
    say()
    _print(found, bench.rounds)
    return found
