"""What /metrics costs: how large one answer is and what CPU it takes, and so at one scrape a second;
and, with --against, what counting adds to a purchase, next to a build that does not count."""

import argparse
import contextlib
import gzip

from . import figures, load, procs, report, visit
from . import instructions as instructions_of
from .client import Connection, Request
from .procs import BenchError
from .report import say
from .targets import AVAILABLE, PURCHASE, READY, SERVERS, Row, microservices, running, ticketd

METRICS = Request("GET", "/metrics")
NOWHERE = Request("GET", "/nowhere")
WRONG = Request("POST", PURCHASE.path, "no")
SCRAPES = 2000
COUNTING_GOAL = 1.02
ROW = Row("ticketd, purchase", "ticketd", PURCHASE)


def _touch(server):
    """Each of the answers that a server in use has given: these are most of what is told."""
    for request in (PURCHASE, AVAILABLE, READY, NOWHERE, METRICS, WRONG):
        with contextlib.suppress(ConnectionError), Connection(server.port) as connection:
            connection.exchange(request)


def _scrape(server, bench):
    with running(server, bench) as started:
        _touch(started)
        pids = started.pids()
        with Connection(started.port) as connection:
            connection.exchange(METRICS)  # its own line is there from the next one on
            before = procs.cpu_ns(pids)
            for _ in range(SCRAPES):
                answer = connection.exchange(METRICS)
            cpu_us = (procs.cpu_ns(pids) - before) / 1000 / SCRAPES
    if answer.status != 200:
        raise BenchError(f"/metrics answered {answer.status}")
    return {
        "server": server.name,
        "bytes": len(answer.body),
        "gzip_bytes": len(gzip.compress(answer.body, 1)),
        "lines": answer.body.count(b"\n"),
        "cpu_us": cpu_us,
    }


def _print_scrapes(scrapes):
    report.table(
        ["/metrics", "bytes", "with gzip", "lines", "CPU µs", "of one CPU, at 1 a second"],
        [
            [
                scrape["server"],
                scrape["bytes"],
                scrape["gzip_bytes"],
                scrape["lines"],
                f"{scrape['cpu_us']:.0f}",
                f"{scrape['cpu_us'] / 1e6:.4%}",
            ]
            for scrape in scrapes
        ],
    )


def _compare(bench):
    """This build and the other one, in turn: CPU a purchase, and instructions."""
    other = argparse.Namespace(**{**vars(bench), "build": bench.against})
    costs = {"this": [], "other": []}
    for _ in range(bench.rounds):
        for name, which in (("this", bench), ("other", other)):
            found = visit.measure_undisturbed(SERVERS["ticketd"], PURCHASE, which)
            costs[name].append(found["cpu_us"])
    counted, how = {}, "not asked"
    for name, which in (("this", bench), ("other", other)) if bench.instructions else ():
        counts, how = instructions_of.count([ROW], which)
        counted[name] = counts.get(ROW.name)
    return {"cpu_us": costs, "instructions": counted, "instructions_by": how}


def _print_comparison(found, bench):
    costs = found["cpu_us"]
    cpu = figures.summary(figures.round_ratios(costs["this"], costs["other"]))
    lines = [
        [
            "CPU",
            *(f"{figures.summary(costs[name])['median']:.2f} µs" for name in ("this", "other")),
            f"{cpu['median']:.3f} ({cpu['min']:.3f}…{cpu['max']:.3f})",
            "",
        ]
    ]
    ours, theirs = (found["instructions"].get(name) for name in ("this", "other"))
    if ours and theirs:
        ratio = ours / theirs
        lines.append(
            [
                "instructions",
                f"{ours:.0f}",
                f"{theirs:.0f}",
                f"{ratio:.4f}",
                report.goal(ratio, COUNTING_GOAL),
            ]
        )
    say(f"Instructions: {found['instructions_by']}.")
    report.table(
        [f"a purchase, memory:, against {bench.against}", "this", "the other", "ratio", "goal"],
        lines,
    )


def run(bench):
    load.require_wrk()
    scrapes = [_scrape(server, bench) for server in (ticketd(), microservices())]
    _print_scrapes(scrapes)
    results = {"scrapes": scrapes}
    if bench.against:
        results["against"] = _compare(bench)
        _print_comparison(results["against"], bench)
    else:
        say("What counting costs is left out: --against names a build of a version without it.")
    return results
