"""What the core does without HTTP: sells against one to eight processes, what one sell costs alone,
what the journal's ring sustains, and what the keeper does.

tests/bench/core_scaling.c does it, with the stock's real segment and the real keeper, one fresh
program a visit; here its visits are made in turn and judged."""

import functools
import os
import pathlib
import shutil

from . import disk, figures, instructions, procs, report, visit
from .procs import BenchError
from .report import say
from .targets import scratch_directory

PROGRAM = "tests/bench/core-scaling"
PROCESSES = (1, 2, 3, 4, 6, 8)
# What the sellers sell of: the program's word for it, and ours.
WAYS = {
    "one": ("one", "one event"),
    "many": ("own", "an event each"),
    "random": ("random", "64 events at random"),
}
# Rows of the keeper: LEDGER_URL, whose {scratch} is a directory of its own, and the program's word.
KEEPERS = {
    "memory:, no keys": ("memory:", "plain"),
    "memory:, keyed": ("memory:", "keyed"),
    "sqlite:, no keys": ("sqlite:{scratch}/ledger.db", "plain"),
    "sqlite:, keyed": ("sqlite:{scratch}/ledger.db", "keyed"),
}
# The one that stands for all where there is room for one: what a purchase through both pools makes.
HEADLINE = "sqlite:, keyed"
LAPS = 2000
COUNTED_SALES = (60_000, 260_000)
GRACE_S = 150  # the program ends itself before
DRAIN = (
    "The journals are drained by a process that only takes the entries out, at most 1,024 of an "
    "event at a time, and publishes them: what the real keeper does without keys and ledger. It "
    "has the last CPU, and has it to itself as long as there are fewer sellers than CPUs."
)


# ---- visits --------------------------------------------------------------------------------------


def parse(said):
    """The whole numbers of the program's line."""
    for line in said.splitlines():
        word, *pairs = line.split()
        if word == "core-scaling":
            return {name: int(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    raise BenchError(f"{PROGRAM} printed no result:\n{said}")


def _run(bench, cpus, *arguments):
    command = [str(pathlib.Path(bench.build) / PROGRAM), *(str(word) for word in arguments)]
    return parse(procs.run(command, bench.warmup_s + bench.seconds + GRACE_S, cpus))


def _times(bench):
    return bench.warmup_s * 1000, bench.seconds * 1000


def _agree(found, *names):
    """What was sold is what each of them says."""
    if any(found[name] != found["sold"] for name in names):
        raise BenchError(f"{PROGRAM}: the counts differ: {found}")


def _each(total, count):
    return total / count if count else 0.0


def sell(bench, way, processes):
    """One visit of so many sellers: a second, and nanoseconds of CPU each."""
    found = _run(bench, None, "sell", processes, WAYS[way][0], *_times(bench))
    _agree(found, "taken", "published", "drained")
    return {
        "per_s": found["per_s"],
        "cpu_ns": _each(found["cpu_ns"], found["counted"]),
        "waited": _each(found["idle_wall_ns"], found["wall_ns"]),
        "drain_cpu_ns": _each(found["drain_cpu_ns"], found["drain_counted"]),
        "cpus": found["cpus"],
    }


def sell_alone(bench):
    """Nanoseconds of CPU of a sell by a process that nobody disturbs, in the mean and in its best
    lap."""
    found = _run(bench, {bench.server_cpu}, "alone", LAPS)
    _agree(found, "drained")
    return {
        "cpu_ns": _each(found["cpu_ns"], found["sold"]),
        "least_cpu_ns": _each(found["least_lap_ns"], found["lap_sales"]),
    }


def keep(bench, row):
    """One visit of the keeper: what it does in a second, and what an entry costs it."""
    url, kind = KEEPERS[row]
    with scratch_directory(bench) as scratch:
        where = url.format(scratch=os.path.abspath(scratch))
        cpus = {bench.server_cpu, bench.load_cpu}
        found = _run(bench, cpus, "keep", where, kind, *_times(bench))
        ledger = pathlib.Path(scratch) / "ledger.db"
        file_bytes = ledger.stat().st_size if ledger.exists() else 0
    _agree(found, "taken", "published", "kept")
    entries, seconds = found["entries"], found["keeper_wall_ns"] / 1e9
    return {
        "entries_per_s": _each(entries, seconds),
        "cpu_us": _each(found["keeper_cpu_ns"] / 1000, entries),
        "batch": _each(entries, found["batches"]),
        "batches_per_s": _each(found["batches"], seconds),
        "syncs_per_s": _each(found["syncs"], seconds),
        "busy": _each(found["keeper_cpu_ns"], found["keeper_wall_ns"]),
        "seller_cpu_ns": _each(found["cpu_ns"], found["counted"]),
        "seller_waited": _each(found["idle_wall_ns"], found["wall_ns"]),
        # of the ledger's file when it is closed and its log is in it; of all entries
        "bytes_per_entry": _each(file_bytes, found["kept"]),
        # what the keeper wrote: to files and bells, and as the kernel counts pages made dirty
        "written_per_entry": _each(found["written"], entries),
        "written_disk_per_entry": _each(found["written_disk"], entries),
    }


def _judged(measure):
    """The visit with what else ran meanwhile: all of the program's processes are its children, and
    so their CPU counts as ours when it has ended."""
    before = visit.clocks(0.0)
    found = measure()
    return {**found, "foreign_cpus": visit.costs(before, visit.clocks(0.0), 1)["foreign_cpus"]}


def _undisturbed(bench, measure, *arguments):
    return visit.undisturbed(lambda: _judged(functools.partial(measure, bench, *arguments)), bench)


def count_instructions(bench):
    """({"instructions", "cycles"} of a sell, how they were counted); of two runs that differ in
    nothing but in how many they sell."""
    few, many = COUNTED_SALES
    program = str(pathlib.Path(bench.build) / PROGRAM)
    try:
        first, how = instructions.of_command([program, "fill", str(few)])
        second, _ = instructions.of_command([program, "fill", str(many)])
    except (BenchError, OSError) as error:
        return {}, f"not counted: {error}"
    counts = {name: (second[name] - first[name]) / (many - few) for name in first}
    return counts, f"{how}: {many} sells less {few}"


# ---- what they add up to -------------------------------------------------------------------------


def _median(visits, name):
    return figures.summary([found[name] for found in visits])["median"]


def _shape(rounds, name):
    return {
        way: {str(count): _median(visits, name) for count, visits in by_count.items()}
        for way, by_count in rounds.items()
    }


def ratios_of(rounds):
    """One ratio a round of CPU a sell: of so many processes on one event to one process, and to as
    many that have other events."""

    def costs(way, count):
        return [found["cpu_ns"] for found in rounds[way][count]]

    counts = [count for count in rounds["one"] if count > 1]
    return {
        "to 1 process": {
            str(count): figures.round_ratios(costs("one", count), costs("one", 1))
            for count in counts
        },
        **{
            f"one event to {WAYS[way][1]}": {
                str(count): figures.round_ratios(costs("one", count), costs(way, count))
                for count in counts
            }
            for way in ("many", "random")
        },
    }


def ring_of(visits):
    """What the ring of one event sustains: one process that sells, one that only drains."""
    rates = figures.summary([found["per_s"] for found in visits])
    return {
        "entries_per_s": rates["median"],
        "entries_per_s_min": rates["min"],
        "entries_per_s_max": rates["max"],
        "seller_cpu_ns": _median(visits, "cpu_ns"),
        "drain_cpu_ns": _median(visits, "drain_cpu_ns"),
        "waited": _median(visits, "waited"),
    }


def keeper_of(rounds):
    """Medians of each row; those of the HEADLINE stand beside them, too."""
    rows = {}
    for row, visits in rounds.items():
        rows[row] = {name: _median(visits, name) for name in visits[0]}
        for name in ("entries_per_s", "cpu_us"):
            spread = figures.summary([found[name] for found in visits])
            rows[row] |= {f"{name}_min": spread["min"], f"{name}_max": spread["max"]}
    return {**rows[HEADLINE], "row": HEADLINE, "rows": rows}


# ---- tables --------------------------------------------------------------------------------------


def _range(visits, name, form, scale=1):
    each = figures.summary([found[name] * scale for found in visits])
    return [f"{each['median']:{form}}", f"{each['min']:{form}}…{each['max']:{form}}"]


def _print_sells(rounds):
    lines = []
    for way, by_count in rounds.items():
        for count, visits in by_count.items():
            processes = f"{count} process{'es' if count > 1 else ''} on {visits[0]['cpus']} CPUs"
            lines.append(
                [f"{processes}, {WAYS[way][1]}"]
                + _range(visits, "per_s", ".2f", 1e-6)
                + _range(visits, "cpu_ns", ".1f")
                + [
                    f"{_median(visits, 'waited'):.0%}",
                    f"{_median(visits, 'drain_cpu_ns'):.1f}",
                    f"{max(found['foreign_cpus'] for found in visits):.2f}",
                ]
            )
    report.table(
        ["sellers", "million sells/s", "min…max", "CPU ns/sell", "min…max"]
        + ["waited for room", "drain, CPU ns", "foreign CPUs"],
        lines,
    )


def _print_ratios(ratios):
    lines = []
    for what, by_count in ratios.items():
        for count, values in by_count.items():
            each = figures.summary(values)
            spread = f"{each['min']:.2f}…{each['max']:.2f}"
            lines.append([f"{count} processes, {what}", f"{each['median']:.2f}", spread])
    report.table(["CPU a sell, one event", "ratio", "min…max"], lines)


def _print_alone(visits, counts, how):
    mean, spread = _range(visits, "cpu_ns", ".1f")
    least = min(found["least_cpu_ns"] for found in visits)
    say(
        f"One sell alone, into a journal that nobody drains meanwhile: {mean} ns of CPU "
        f"({spread}), in the best of {LAPS} laps {least:.1f}; a token of the kernel's generator "
        "is in it."
    )
    told = ", ".join(f"{value:.0f} {name}" for name, value in counts.items())
    say(f"{told or 'Instructions'} a sell ({how})." if counts else f"Instructions: {how}.")
    say()


def _print_ring(ring):
    say(
        f"The ring of one event with a consumer that does nothing: {ring['entries_per_s']:,.0f} "
        f"entries/s ({ring['entries_per_s_min']:,.0f}…{ring['entries_per_s_max']:,.0f}), CPU "
        f"{ring['seller_cpu_ns']:.1f} ns an entry of who sells, {ring['drain_cpu_ns']:.1f} of who "
        "drains."
    )
    say()


def _print_keeper(rounds):
    lines = [
        [row]
        + _range(visits, "entries_per_s", ".0f", 1e-3)
        + _range(visits, "cpu_us", ".3f")
        + [f"{_median(visits, 'batch'):.0f}", f"{_median(visits, 'syncs_per_s'):.0f}"]
        + [
            f"{_median(visits, name):.1f}"
            for name in ("bytes_per_entry", "written_per_entry", "written_disk_per_entry")
        ]
        + [f"{_median(visits, name):.0%}" for name in ("busy", "seller_waited")]
        + [f"{max(found['foreign_cpus'] for found in visits):.2f}"]
        for row, visits in rounds.items()
    ]
    report.table(
        ["keeper", "1000 entries/s", "min…max", "CPU µs/entry", "min…max", "entries/batch"]
        + ["syncs/s", "bytes/entry: file", "written", "to disk", "keeper busy", "seller waited"]
        + ["foreign CPUs"],
        lines,
    )
    say(
        "File: the closed ledger's size. Written: what the keeper gave to write calls, its log and "
        "its database. To disk: pages that it made dirty, as the kernel counts. A keeper that is "
        "not busy waited for the disk, or, where the seller did not wait, for the seller."
    )
    say()


# ---- all of it -----------------------------------------------------------------------------------


def _announce(bench, kind, cpus):
    say(
        f"{bench.rounds} rounds in turn, each visit a program of its own, {bench.warmup_s} s "
        f"warm-up and {bench.seconds} s measured; the ledger on {kind}. {cpus} CPUs are usable: "
        "rows of more processes show what pre-emption costs and not what runs in parallel."
    )
    say(DRAIN)
    say(
        "The keeper is the real one, fed by one process on the other core that sells as fast as "
        "16,384 slots of the journal and as many parked sales let it; with a ledger on disk, or "
        "with keys, it waits for each sale's outcome as a worker does. No key comes twice; a "
        "visit ends early at 16.7 million keys, whose index has the default's count of buckets."
    )
    say(
        "CPU a sell is without what sellers do while they find the journal full. How often a swap "
        f"was lost the core does not count, nor do we: it is in the CPU. {visit.FOREIGN}"
    )


def _empty_rounds():
    return {way: {count: [] for count in PROCESSES} for way in WAYS}


def _sell_round(bench, rounds):
    """One visit of each row; one process of its own event is one process of one event."""
    for count in PROCESSES:
        for way in WAYS:
            shared = way == "many" and count == 1
            rounds[way][count].append(
                rounds["one"][1][-1] if shared else _undisturbed(bench, sell, way, count)
            )


def run(bench):
    kind = disk.require_disk(bench.scratch)
    if shutil.which(str(pathlib.Path(bench.build) / PROGRAM)) is None:
        say(f"left out: {bench.build}/{PROGRAM} is missing")
        return {}
    _announce(bench, kind, len(os.sched_getaffinity(0)))
    sells, alone = _empty_rounds(), []
    kept = {row: [] for row in KEEPERS}
    for number in range(bench.rounds):
        alone.append(_undisturbed(bench, sell_alone))
        _sell_round(bench, sells)
        for row in KEEPERS:
            kept[row].append(_undisturbed(bench, keep, row))
        rates = ", ".join(f"{visits[-1]['entries_per_s'] / 1000:.0f}" for visits in kept.values())
        say(
            f"  round {number + 1}: {alone[-1]['cpu_ns']:.1f} ns a sell alone, "
            f"{sells['one'][1][-1]['cpu_ns']:.1f} drained; keeper, 1000 entries/s: {rates}"
        )
    say()
    counts, how = count_instructions(bench) if bench.instructions else ({}, "not asked for")
    ratios, ring = ratios_of(sells), ring_of(sells["one"][1])
    _print_sells(sells)
    _print_ratios(ratios)
    _print_alone(alone, counts, how)
    _print_ring(ring)
    _print_keeper(kept)
    return {
        "drain": DRAIN,
        "file_system": kind,
        "sells": _shape(sells, "per_s"),
        "cpu_ns": _shape(sells, "cpu_ns"),
        "ratios": ratios,
        "alone": {"rounds": alone, "counted": counts, "how": how},
        "ring": ring,
        "keeper": keeper_of(kept),
        "rounds": {"sells": sells, "keeper": kept},
    }
