"""Load: wrk for rates and latencies, a lockstep client where requests must be counted exactly."""

import os
import pathlib
import shutil

from . import procs
from .client import Connection, Request
from .procs import BenchError

SCRIPT = pathlib.Path(__file__).with_name("wrk_report.lua")
CONNECTIONS = 64
# An answer that comes later is counted as none.  wrk's own 2 s would count a burst of ten thousand
# connections, of which the kernel has some try again, as broken.
TIMEOUT_S = 20
LAST = Request("GET", "/api/v1/available")


def require_wrk():
    if shutil.which("wrk") is None:
        raise BenchError("wrk is missing: apt-get install wrk (or https://github.com/wg/wrk)")


def rotation(request):
    """The requests that a load sends in turn: a Request is itself, a tuple of them its members."""
    return (request,) if isinstance(request, Request) else request


def named(request):
    """As a reader is told of it: each of a rotation once."""
    names = [f"{each.method} {each.path}" for each in rotation(request)]
    return ", ".join(dict.fromkeys(names))


def wrk_command(port, request, seconds, connections=CONNECTIONS):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_S}s"]
    command += ["-s", os.path.relpath(SCRIPT), f"http://127.0.0.1:{port}", "--"]
    words = [(each.method, each.path, each.body) for each in rotation(request)]
    return command + [word for each in words for word in each]


def parse_wrk(output):
    for line in output.splitlines():
        if line.startswith("bench-result "):
            return {
                name: int(value) for name, value in (word.split("=") for word in line.split()[1:])
            }
    raise BenchError("wrk printed no result:\n" + output)


def wrk(port, request, seconds, cpus, connections=CONNECTIONS, strict=True, midway=None):
    """What wrk found.  A load that went wrong is an error, unless how much went wrong is the
    question.  `midway` is called in the middle of it."""
    command = wrk_command(port, request, seconds, connections)
    when = (seconds / 2, midway) if midway else None
    result = parse_wrk(procs.run(command, seconds + TIMEOUT_S + 10, cpus, midway=when))
    wrong = result["errors"] + result["refused"]
    if result["requests"] == 0 or (strict and wrong):
        raise BenchError(f"load on {named(request)} went wrong: {result}")
    return result


def open_and_close(port, count):
    """So many connections at a time, asked nothing; they are served when this returns."""
    opened = [Connection(port) for _ in range(count)]
    for connection in opened:
        connection.close()
    # Whatever came before on this port has been seen when this is answered.
    with Connection(port) as last:
        last.exchange(LAST)


def lockstep(port, request, count, connections=CONNECTIONS):
    """Exactly `count` requests (a multiple of `connections`): one on every connection, then all
    their answers, and again.  So the server meets as many ready connections as under wrk."""
    if count % connections:
        raise ValueError("count must be a multiple of the number of connections")
    opened = []
    try:
        for _ in range(connections):
            opened.append(Connection(port))
        for _ in range(count // connections):
            for connection in opened:
                connection.send(request)
            for connection in opened:
                if connection.receive().status != 200:
                    raise BenchError(f"{request.method} {request.path} was refused")
    finally:
        for connection in opened:
            connection.close()
