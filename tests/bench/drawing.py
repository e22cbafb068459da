"""Draws the pictures of plots.py as SVG, by matplotlib: called by tools/bench plot.

The same input gives the same bytes: no date, no chance in the names of the parts.  Text stays text,
so that a picture is small and can be searched.  The ground is white in GitHub's dark theme too: a
picture cannot know in which of them it stands."""

import pathlib
import sys
import textwrap

import matplotlib

from . import plots
from .report import say

matplotlib.use("svg")
from matplotlib import font_manager, pyplot, ticker  # noqa: E402  first the backend is chosen

WIDTH_IN = 8.6  # 826 pixels: what a README has
LINE_IN = 0.17  # of small print
LETTERS = 140  # that fit into such a line
BAR_IN = 0.27
LABEL_LINE_IN = 0.15
LINES_IN = 2.5
LEGEND_IN = 0.2  # of each row of a legend
TEXT_PT, LABEL_PT, EM = 8.5, 8, 0.62  # a character is this part of its height wide, on average
TICKS_MAX = 8
INK, FAINT, GRID = "#24292f", "#57606a", "#d8dee4"
OURS, OTHERS, MISSED = "#0072b2", "#9aa4ae", "#d55e00"
# Of Okabe and Ito: told apart by those who see fewer colours; the shapes tell them apart as well.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b58900", "#24292f", "#9aa4ae"]
SHAPES = "osD^vPX*"
# Only its own fonts measure the text: those of the machine must not move anything.
font_manager.fontManager.ttflist = [
    font
    for font in font_manager.fontManager.ttflist
    if pathlib.Path(font.fname).is_relative_to(matplotlib.get_data_path())
]
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ticketd",
    # Verdana is as wide as DejaVu, which is not everywhere.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": TEXT_PT,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.labelsize": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "figure.edgecolor": GRID,
}


def _scale(axis, values, log):
    """Plain numbers at the ticks, on a logarithmic axis as well; few enough to be read."""
    if log:
        wide = max(values) / min(value for value in values if value > 0) > 1000
        axis.set_major_locator(ticker.LogLocator(subs=(1,) if wide else (1, 2, 5)))
        axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _at: f"{value:,.10g}"))


def _sheet(picture, small_print, height_in, legend_in=0.0):
    """A figure with its heading above, and its small print and room for a legend below."""
    top, bottom = LINE_IN * 2, LINE_IN * (len(small_print) + 1) + legend_in
    height_in += top + bottom
    figure = pyplot.figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    figure.patch.set_linewidth(1)
    figure.get_layout_engine().set(
        rect=(0.012, bottom / height_in, 0.976, 1 - (top + bottom) / height_in)
    )
    figure.text(
        *(0.015, 1 - 0.1 / height_in),
        picture.title,
        fontsize=11,
        fontweight="bold",
        verticalalignment="top",
    )
    for number, line in enumerate(reversed(small_print)):
        y = (LINE_IN * number + 0.1) / height_in
        figure.text(0.015, y, line, fontsize=7, color=FAINT)
    return figure


# ---- bars, points --------------------------------------------------------------------------------


def _colour(bar):
    if not bar.met:
        return MISSED
    return OURS if bar.ours else OTHERS


def _draw_bar(axes, y, bar, points):
    colour = _colour(bar)
    if points:
        shape = "o" if bar.met else "D"
        axes.plot([bar.low, bar.high], [y, y], color=colour, linewidth=1.5)
        axes.plot([bar.value], [y], shape, color=colour, markersize=6)
    else:
        axes.barh(y, bar.value, height=0.68, color=colour)
        if bar.low < bar.high:
            axes.plot([bar.low, bar.high], [y, y], color=INK, linewidth=1)
    if bar.goal:
        axes.plot([bar.goal, bar.goal], [y - 0.4, y + 0.4], color=INK, linewidth=1.4)


def _label(axes, y, bar, bold):
    """Line by line, each bound to its end: fonts elsewhere are not as wide as here."""
    lines = bar.label.split("\n")
    for number, line in enumerate(lines):
        axes.annotate(
            line,
            (0, y),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-5, LABEL_LINE_IN * 72 * ((len(lines) - 1) / 2 - number)),
            textcoords="offset points",
            fontsize=LABEL_PT,
            fontweight="bold" if bold else "normal",
            horizontalalignment="right",
            verticalalignment="center",
        )


def _end(bar):
    return max(bar.high, bar.goal or 0)


def _limits(panels, log):
    """Of the axis: so far that what stands behind each bar has room, by the number of letters."""
    bars = [bar for panel in panels for bar in panel.bars]
    positive = [value for panel in panels for value in panel.values() if value > 0]
    lowest = min(positive) / 1.8 if log else 0
    letters = max(len(line) for bar in bars for line in bar.label.split("\n"))
    width_pt = 72 * WIDTH_IN * 0.96 - letters * LABEL_PT * EM
    highest = 0
    for bar in bars:
        free = 1 - (len(bar.said) * TEXT_PT * EM + 12) / width_pt
        if log:
            highest = max(highest, lowest * (_end(bar) / lowest) ** (1 / free))
        else:
            highest = max(highest, _end(bar) / free)
    return lowest, highest


def _draw_bars(axes, panel, limits, log):
    for y, bar in enumerate(panel.bars):
        _draw_bar(axes, y, bar, panel.points)
        _label(axes, y, bar, bar.ours and not panel.points)
        axes.annotate(
            bar.said,
            (_end(bar), y),
            xytext=(7, 0),
            textcoords="offset points",
            verticalalignment="center",
            color=INK if bar.met else MISSED,
        )
    if log:
        axes.set_xscale("log")
    axes.set_xlim(*limits)
    _scale(axes.xaxis, limits, log)
    axes.set_ylim(len(panel.bars) - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_title(panel.heading)


def _bar_height(panel):
    lines = max(bar.label.count("\n") + 1 for bar in panel.bars)
    return len(panel.bars) * (BAR_IN + LABEL_LINE_IN * (lines - 1)) + 0.25


def _bars(picture, small_print):
    heights = [_bar_height(panel) for panel in picture.panels]
    figure = _sheet(picture, small_print, sum(heights) + 0.45 * len(heights) + 0.1)
    grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    # One axis for all, so that a bar means the same in each of them.
    log = plots.needs_log([value for panel in picture.panels for value in panel.values()])
    limits = _limits(picture.panels, log)
    for axes, panel in zip(grid[:, 0], picture.panels, strict=True):
        _draw_bars(axes, panel, limits, log)
    axes.set_xlabel(panel.axis + (" (logarithmic)" if log else ""))
    return figure


# ---- lines ---------------------------------------------------------------------------------------


def _looks(panels):
    """{label: how its line looks}, the same in every panel."""
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    ours = {line.label: line.ours for panel in panels for line in panel.lines}
    return {
        label: {
            "color": COLOURS[number % len(COLOURS)],
            "marker": SHAPES[number % len(SHAPES)],
            "linestyle": "-" if ours[label] else "--",
            "linewidth": 2 if ours[label] else 1.2,
        }
        for number, label in enumerate(labels)
    }


def _draw_line(axes, line, look):
    xs, ys = [point.x for point in line.points], [point.y for point in line.points]
    whiskers = [
        [point.y - point.low for point in line.points],
        [point.high - point.y for point in line.points],
    ]
    axes.errorbar(xs, ys, whiskers, elinewidth=0.8, markersize=5, label=line.label, **look)
    hollow = [point for point in line.points if not point.whole]
    axes.plot(
        [point.x for point in hollow],
        [point.y for point in hollow],
        **{**look, "linestyle": "none"},
        markersize=5,
        markerfacecolor="white",
        zorder=4,
    )


def _draw_lines(axes, panel, looks, values):
    for line in panel.lines:
        _draw_line(axes, line, looks[line.label])
    xs = sorted({point.x for line in panel.lines for point in line.points})
    far = plots.needs_log(xs)
    if far:
        axes.set_xscale("log")
    if len(xs) <= TICKS_MAX:
        axes.set_xticks(xs)
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _at: f"{value:,.10g}"))
    log = plots.needs_log(values)
    if log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    _scale(axes.yaxis, values, log)
    if panel.level:
        axes.axhline(panel.level, color=FAINT, linewidth=1, linestyle=":")
    axes.set_title(panel.heading)
    axes.set_xlabel(panel.x_axis + (" (logarithmic)" if far else ""))
    axes.set_ylabel(panel.y_axis + (" (logarithmic)" if log else ""))


def _legend(figure, grid, small_print, legend_in):
    """Each line once, between the panels and the small print."""
    named = {}
    for axes in grid:
        handles, labels = axes.get_legend_handles_labels()
        # Of a line with whiskers the line.
        named.update((label, handle[0]) for label, handle in zip(labels, handles, strict=True))
    at = (0.012, (LINE_IN * (len(small_print) + 0.6) + legend_in) / figure.get_figheight())
    legend = figure.legend(
        named.values(), named.keys(), loc="upper left", bbox_to_anchor=at, ncols=2, borderpad=0
    )
    legend.set_in_layout(False)


def _lines(picture, small_print):
    looks = _looks(picture.panels)
    legend_in = LEGEND_IN * ((len(looks) + 1) // 2)
    figure = _sheet(picture, small_print, LINES_IN, legend_in)
    # What has one unit has one axis, so that the panels can be compared.
    alike = len({panel.y_axis for panel in picture.panels}) == 1
    grid = figure.subplots(1, len(picture.panels), squeeze=False, sharey=alike)[0]
    values = [value for panel in picture.panels for value in panel.values()]
    for axes, panel in zip(grid, picture.panels, strict=True):
        _draw_lines(axes, panel, looks, values if alike else panel.values())
        if alike and axes is not grid[0]:
            axes.set_ylabel("")
    _legend(figure, grid, small_print, legend_in)
    return figure


# ---- files ---------------------------------------------------------------------------------------


def draw(picture, small_print, path):
    """One SVG."""
    with matplotlib.rc_context(STYLE):
        kind = _bars if isinstance(picture.panels[0], plots.Bars) else _lines
        lines = [*picture.notes, *small_print]
        figure = kind(picture, [part for line in lines for part in textwrap.wrap(line, LETTERS)])
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(path, format="svg", metadata={"Title": picture.title, **unsaid})
        pyplot.close(figure)


def main(out, *files):
    """Draws what the files hold, of each plot that of the last file which has it."""
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    chosen, missing = {}, {}
    for file in files:
        results = plots.load(file)
        found, left_out = plots.pictures(results)
        small_print = plots.small_print(results["machine"])
        chosen.update({name: (picture, small_print) for name, picture in found.items()})
        missing.update(left_out)
    for name, (picture, small_print) in chosen.items():
        draw(picture, small_print, out / f"{name}.svg")
        say(f"drawn: {name}.svg")
    for name, why in missing.items():
        if name not in chosen:
            say(f"not drawn: {name} ({why})")


if __name__ == "__main__":
    main(*sys.argv[1:])
