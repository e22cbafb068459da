"""What the dashboard costs a browser: bytes on the way, and how soon it shows something.

In the headless Chromium of tests/browser, whose test of a sale tells these figures."""

import os
import pathlib
import re
import subprocess

from . import figures, report
from .report import say

TESTS = pathlib.Path(__file__).resolve().parent.parent
COMMAND = [str(TESTS / "in-venv"), "--program", "chromium", "--program", "chromedriver", "-s",
           "test_dashboard.py", "-k", "test_sale"]
# in-venv's word for what is not installed
SKIPPED = 77
TIMEOUT_S = 240
TOLD = re.compile(r"page: (?P<bytes>\d+) bytes sent in (?P<files>\d+) answers \((?P<unpacked>\d+) unpacked\), first "
                  r"figures after (?P<first_ms>\d+) ms, first line of a plot after (?P<plot_ms>\d+) ms, "
                  r"layout shift (?P<shift>[\d.]+)")
ROWS = (
    ("bytes", "sent, with gzip", "B", 0),
    ("unpacked", "unpacked", "B", 0),
    ("files", "answers", "", 0),
    ("first_ms", "first figures", "ms", 0),
    ("plot_ms", "first line of a plot, which needs two looks, a second apart", "ms", 0),
    ("shift", "layout shift while it loads", "", 4),
)


def parse(output):
    """The figures of one visit, or None."""
    told = TOLD.search(output)
    return told and {name: float(value) for name, value in told.groupdict().items()}


def run(bench):
    environment = {**os.environ, "TICKETD": str(pathlib.Path(bench.build, "ticketd").resolve()),
                   "TICKETCTL": str(pathlib.Path(bench.build, "ticketctl").resolve()), "TICKETD_TEST_MODE": "monolith"}
    visits = []
    for _ in range(bench.rounds):
        done = subprocess.run(COMMAND, cwd=TESTS / "browser", env=environment, timeout=TIMEOUT_S, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        told = parse(done.stdout)
        if done.returncode == SKIPPED or told is None:
            say(f"The dashboard was not measured: {done.stdout.strip()[-400:]}")
            return {}
        visits.append(told)
    found = {name: figures.summary([visit[name] for visit in visits]) for name, *_ in ROWS}
    report.table(
        ["the dashboard in Chromium, while buyers buy", "median", "least", "greatest"],
        [
            [what, *(f"{found[name][which]:.{digits}f} {unit}".strip() for which in ("median", "min", "max"))]
            for name, what, unit, digits in ROWS
        ],
    )
    return found
