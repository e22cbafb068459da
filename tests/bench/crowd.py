"""crowd: arrivals at a fixed rate, latency counted from when each was due; and buyers until all is
sold.  What it is, and why it is not a tool that exists: crowd.c."""

from . import load, procs
from .procs import BenchError

CONNECTIONS = 256
# What a run may take beyond the time it is given, to connect and to be answered.
PATIENCE_S = 60


def binary(build):
    return f"{build}/tests/bench/crowd"


def require(build):
    """A BenchError where it is not built."""
    if procs.program(binary(build)) is None:
        raise BenchError(f"{binary(build)} is missing: meson compile -C {build} crowd")


def open_command(build, port, request, rate, warmup_s, seconds, connections=CONNECTIONS):
    words = [binary(build), "open", port, connections, rate, warmup_s, seconds]
    words += [request.method, request.path] + ([request.body] if request.body else [])
    return [str(word) for word in words]


def open_loop(bench, port, request, rate, cpus, connections=CONNECTIONS):
    """So many requests a second for bench.seconds, after a warm-up.  What went wrong is counted and
    ends nothing: with `errors` and `unsent`, `requests` are as many as were due."""
    command = open_command(
        bench.build, port, request, rate, bench.warmup_s, bench.seconds, connections
    )
    return load.parse_result(procs.run(command, bench.warmup_s + bench.seconds + PATIENCE_S, cpus))


def sell_out_command(build, port, request, connections, seconds_max):
    words = [binary(build), "sell-out", port, connections, seconds_max, request.path, request.body]
    return [str(word) for word in words]


def sell_out(bench, port, request, connections, seconds_max, cpus=None):
    """Buys with a key of its own each time until every connection is told that all is sold, or so
    many seconds are over."""
    command = sell_out_command(bench.build, port, request, connections, seconds_max)
    return load.parse_result(procs.run(command, seconds_max + PATIENCE_S, cpus))
