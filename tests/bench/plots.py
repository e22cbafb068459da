"""Which plots there are, and what each of them takes out of a --json file.

Nothing here draws: drawing.py does, with matplotlib, which has an environment of its own.  So what
a plot shows can be read, and tested, without it."""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
from collections.abc import Callable

from . import figures, hop, peers
from .procs import BenchError
from .targets import AVAILABLE

# From the root of the tree, where tools/bench runs.
PYTHON = "build-tools/plots-venv/bin/python"
RESULTS = "tests/bench/results"
HINT = "tools/install-dependencies bench"
SPREAD = "Medians over the rounds, whiskers from the least to the greatest."
LOG_SPAN = 30  # values that lie further apart than this are not told apart on a linear axis

# ---- what can be drawn ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Bar:
    """A figure of one row; `goal` is what it must not exceed, `said` stands behind the bar."""

    label: str
    value: float
    low: float
    high: float
    said: str
    ours: bool
    goal: float | None = None
    met: bool = True


@dataclasses.dataclass(frozen=True)
class Bars:
    """Horizontal, in the order given; `points` where a length would say nothing: of ratios."""

    heading: str
    axis: str
    bars: list[Bar]
    points: bool = False

    def values(self):
        goals = [bar.goal for bar in self.bars if bar.goal]
        return [value for bar in self.bars for value in (bar.value, bar.low, bar.high)] + goals


@dataclasses.dataclass(frozen=True)
class Point:
    """`whole` is false where some of the load went unsent or unanswered: the figure flatters."""

    x: float
    y: float
    low: float
    high: float
    whole: bool = True


@dataclasses.dataclass(frozen=True)
class Line:
    label: str
    ours: bool
    points: list[Point]


@dataclasses.dataclass(frozen=True)
class Lines:
    """Lines of one label look alike in all panels of a picture, and are named once.  `level` is
    where a dotted line goes across."""

    heading: str
    x_axis: str
    y_axis: str
    lines: list[Line]
    level: float | None = None

    def values(self):
        return [point.y for line in self.lines for point in line.points]


@dataclasses.dataclass(frozen=True)
class Picture:
    """One SVG: panels of one kind, bars below each other, lines side by side."""

    title: str
    notes: list[str]
    panels: list[Bars] | list[Lines]


def needs_log(values):
    """Whether values lie too far apart for a linear axis."""
    positive = [value for value in values if value > 0]
    return bool(positive) and max(positive) / min(positive) > LOG_SPAN


def number(value):
    """Three digits that count, and no more."""
    digits = sum(value < limit for limit in (100, 10, 1))
    return f"{value:,.{digits}f}"


def is_ours(label):
    return label.startswith("ticketd")


def _between(value, visits, key, factor):
    """The least and the greatest of the visits' figures; the value twice where the file has none."""
    values = [visit[key] * factor for visit in visits] or [value]
    return min(values), max(values)


def _verdict(met):
    return "met" if met else "missed"


def _left_out_note(result):
    names = ", ".join(result.get("left_out", {}))
    return [f"Left out, for reasons that the file tells: {names}."] if names else []


# ---- peers, hop ----------------------------------------------------------------------------------


CPU = "CPU µs a request, all processes of the server"


def _cost_bar(name, visits):
    cpu = figures.summary([visit["cpu_us"] for visit in visits])
    said = f"{number(cpu['median'])} µs"
    return Bar(name, cpu["median"], cpu["min"], cpu["max"], said, is_ours(name))


def _by_value(bars):
    return sorted(bars, key=lambda bar: (bar.value, bar.label))


def _rounds_note(rounds):
    count = max(len(visits) for visits in rounds.values())
    if count == 1:
        return "One round: too little to be quoted."
    return f"Medians of {count} rounds, whiskers from the least to the greatest."


def peers_cpu(result):
    rounds = result["rounds"]
    reads = {row.name for row in peers.ROWS if row.request is AVAILABLE}
    panels = [
        Bars(
            heading,
            CPU,
            _by_value(
                _cost_bar(name, visits)
                for name, visits in rounds.items()
                if (name in reads) == is_read
            ),
        )
        for heading, is_read in (("A purchase", False), ("A look at what is available", True))
    ]
    return Picture(
        "What a sale costs, next to other servers",
        [_rounds_note(rounds), *_left_out_note(result)],
        [panel for panel in panels if panel.bars],
    )


def _ratio_bar(label, ratio, goal, ours=True):
    median = ratio["median"]
    met = goal is None or median <= goal
    said = number(median) + (f", goal ≤ {goal:g}: {_verdict(met)}" if goal else "")
    return Bar(label, median, ratio["min"], ratio["max"], said, ours, goal, met)


def _ratios(title, heading, bars, notes):
    panel = Bars(heading, "ratio, less is better; upright: the goal", bars, points=True)
    return Picture(title, notes, [panel] if bars else [])


def peers_ratios(result):
    bars = [
        _ratio_bar(f"{ratio['row']}\nto {ratio['to']}", ratio["cpu"], ratio["goal"])
        for ratio in result["ratios"]
    ]
    return _ratios(
        "ticketd against its goals",
        "CPU of a request to that of the other's, round by round",
        bars,
        [_rounds_note(result["rounds"]), *_left_out_note(result)],
    )


def hop_ratios(result):
    goals = {figure.text: figure.goal for figure in hop.FIGURES}
    bars = [
        _ratio_bar(
            text.replace(", ", "\n", 1),
            figures.summary(values),
            goals.get(text),
            ours="two pools" in text,
        )
        for text, values in result["figures"].items()
    ]
    return _ratios(
        "What the second pool costs",
        "with the hop to without it, round by round",
        bars,
        [_rounds_note(result["rounds"])],
    )


# ---- latency -------------------------------------------------------------------------------------


def latency(result):
    rows = result["rows"]
    sync_ms = result["sync_us"] / 1000
    visits = {(each["row"], each["fraction"]): each["visits"] for each in result.get("rounds", [])}

    def lines(key):
        found = {}
        for row in rows:
            whole = not row["unsent"] and not row["errors"]
            ms = row[key] / 1000
            between = _between(ms, visits.get((row["row"], row["fraction"]), []), key, 1e-3)
            point = Point(row["fraction"], ms, *between, whole)
            found.setdefault(row["row"], []).append(point)
        return [Line(name, is_ours(name), points) for name, points in found.items()]

    panels = [
        Lines(heading, "part of the peak rate", "ms", lines(key), sync_ms)
        for heading, key in (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us"))
    ]
    notes = [
        "Open loop: a purchase is due at its time, whether or not those before are answered. "
        f"Dotted: one sync of the disk, {number(sync_ms)} ms.",
        SPREAD,
    ]
    if not all(point.whole for line in panels[0].lines for point in line.points):
        notes.append("Hollow: not every purchase could be sent, or was answered.")
    if goal := result.get("goal"):
        found, limit = goal["p99_ms"], goal["limit_ms"]
        notes.append(
            f"Goal, p99 at half the peak, durable: ≤ {number(limit)} ms; it is {number(found)} ms: "
            f"{_verdict(found <= limit)}."
        )
    notes += _left_out_note(result)
    return Picture("How long a buyer waits", notes, panels if rows else [])


# ---- scale ---------------------------------------------------------------------------------------


def _cost_point(x, found):
    low, high = (found.get(key, found["cpu_us"]) for key in ("cpu_us_min", "cpu_us_max"))
    return Point(float(x), found["cpu_us"], low, high)


def _cost_lines(rows):
    return [
        Line(name, is_ours(name), [_cost_point(x, found) for x, found in at.items()])
        for name, at in rows.items()
    ]


MIXES = {
    "hot": "everybody buys of one event",
    "mixed": "nine look at what is available, one buys",
    "sold out": "everybody wants to buy, and nothing is left",
}


def scale_lines(result):
    panels = [
        Lines("", axis, "CPU µs a purchase", _cost_lines(result[key]))
        for key, axis in (("connections", "connections"), ("workers", "workers"))
        if result.get(key)
    ]
    return Picture(
        "What a purchase costs as the load and the server grow",
        [SPREAD, *_left_out_note(result)],
        panels,
    )


def scale_mixes(result):
    def bars(rows):
        for name, found in rows.items():
            point = _cost_point(0, found)
            said = f"{number(point.y)} µs"
            yield Bar(name, point.y, point.low, point.high, said, is_ours(name))

    panels = [
        Bars(MIXES.get(mix, mix), CPU, _by_value(bars(rows)))
        for mix, rows in result.get("mixes", {}).items()
        if rows
    ]
    return Picture(
        "What a request costs when looks and purchases are mixed",
        [SPREAD, *_left_out_note(result)],
        panels,
    )


# ---- core, sellout -------------------------------------------------------------------------------

EVENTS = {
    "one": "one event",
    "many": "an event for each process",
    "random": "64 events, at random",
}


def core(result):
    visits = result.get("rounds", {}).get("sells", {})

    def points(key, kind, factor):
        for x, value in result[key][kind].items():
            name = {"sells": "per_s"}.get(key, key)
            found = visits.get(kind, {}).get(x, [])
            y = value * factor
            yield Point(float(x), y, *_between(y, found, name, factor))

    panels = [
        Lines(
            heading,
            "processes",
            axis,
            [
                Line(EVENTS.get(kind, kind), True, list(points(key, kind, factor)))
                for kind in result[key]
            ],
        )
        for key, heading, axis, factor in (
            ("sells", "sells a second", "millions", 1e-6),
            ("cpu_ns", "CPU of one sell", "ns", 1),
        )
        if result.get(key)
    ]
    return Picture(
        "How fast the stock itself sells",
        [
            "Processes that sell from the shared segment and do nothing else: no HTTP, no disk.",
            f"Of more processes than CPUs it shows what pre-emption costs. {SPREAD}",
        ],
        panels,
    )


def sellout(result):
    goal_s = result["goal"]
    bars = []
    for row in result["rows"]:
        met = row["seconds_max"] <= goal_s
        said = (
            f"{number(row['seconds'])} s, slowest round: {_verdict(met)}; "
            f"p99 {number(row['p99_us'] / 1000)} ms"
        )
        spread = row["seconds"], row["seconds_min"], row["seconds_max"]
        bars.append(Bar(row["row"], *spread, said, True, goal_s, met))
    notes = [
        f"{result['tickets']:,} tickets, {result['connections']:,} clients, each sale on the disk "
        "before its answer; load and server share the CPUs.",
        SPREAD,
    ]
    panel = Bars("", f"seconds until all are sold; upright: the goal, ≤ {goal_s}", bars)
    return Picture("How long a rush on the tickets takes", notes, [panel] if bars else [])


# ---- the table, and the files --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Plot:
    """What is made of one bench's part of the file; `name` is the SVG's too."""

    name: str
    bench: str
    picture: Callable[[dict], Picture]


PLOTS = [
    Plot("peers-cpu", "peers", peers_cpu),
    Plot("peers-ratios", "peers", peers_ratios),
    Plot("latency", "latency", latency),
    Plot("scale", "scale", scale_lines),
    Plot("scale-mixes", "scale", scale_mixes),
    Plot("core", "core", core),
    Plot("sellout", "sellout", sellout),
    Plot("hop", "hop", hop_ratios),
]


def small_print(machine):
    """The machine and the day, in two lines at most; older files say less of it."""
    first = [f"{machine['cpu']}, {machine['cpus usable']} CPUs"]
    first += [f"{machine[key]}" for key in ("memory", "virtualisation") if machine.get(key)]
    second = [f"Linux {machine['kernel']}"]
    second += [machine["disk"]] if machine.get("disk") else []
    day = f"{machine['date'].split()[0]}, commit {machine['commit']}"
    return ["; ".join(first), "; ".join([*second, day])]


def pictures(results):
    """{name: picture} of what the file holds, and {name: why it is left out}."""
    found, left_out = {}, {}
    for plot in PLOTS:
        if plot.bench not in results:
            left_out[plot.name] = f"no figures of {plot.bench}"
            continue
        # A bench that lacked its program has nothing at all to tell.
        result = results[plot.bench]
        picture = plot.picture(result) if result else None
        if picture and picture.panels:
            found[plot.name] = picture
        else:
            left_out[plot.name] = f"{plot.bench} measured none of it"
    return found, left_out


def load(file):
    try:
        results = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise BenchError(f"{file}: {error}") from None
    if not isinstance(results, dict) or "machine" not in results:
        raise BenchError(f"{file}: not written by tools/bench --json")
    return results


def arguments(words):
    parser = argparse.ArgumentParser(
        prog="tools/bench plot",
        description="Draws what --json files hold as SVG; the same file gives the same bytes.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        default=[f"{RESULTS}/results.json"],
        help="written by tools/bench --json; of several that hold a bench the last is drawn "
        f"(default {RESULTS}/results.json)",
    )
    parser.add_argument(
        "--out", metavar="DIR", default=RESULTS, help=f"where the SVGs go (default {RESULTS})"
    )
    return parser.parse_args(words)


def run(words, root):
    """`tools/bench plot`: hands over to the Python that has matplotlib."""
    chosen = arguments(words)
    if not (root / PYTHON).exists():
        raise BenchError(f"matplotlib is missing: {HINT} brings it")
    for file in chosen.files:
        load(file)
    paths = [os.path.abspath(path) for path in (chosen.out, *chosen.files)]
    subprocess.run(
        [root / PYTHON, "-m", "bench.drawing", *paths],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "tests"), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
