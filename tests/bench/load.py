"""Load: wrk for rates and latencies, a lockstep client where requests must be counted exactly."""

import os
import pathlib
import shutil

from . import procs
from .client import Connection
from .procs import BenchError

SCRIPT = pathlib.Path(__file__).with_name("wrk_report.lua")
CONNECTIONS = 64


def require_wrk():
    if shutil.which("wrk") is None:
        raise BenchError("wrk is missing: apt-get install wrk (or https://github.com/wg/wrk)")


def wrk_command(port, request, seconds, connections=CONNECTIONS):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", os.path.relpath(SCRIPT)]
    command += [f"http://127.0.0.1:{port}", "--", request.method, request.path]
    return command + ([request.body] if request.body else [])


def parse_result(output):
    for line in output.splitlines():
        if line.startswith("bench-result "):
            return {
                name: int(value) for name, value in (word.split("=") for word in line.split()[1:])
            }
    raise BenchError("the load printed no result:\n" + output)


def wrk(port, request, seconds, cpus, connections=CONNECTIONS, strict=True):
    """What wrk found.  A load that went wrong is an error, unless how much went wrong is the
    question."""
    command = wrk_command(port, request, seconds, connections)
    result = parse_result(procs.run(command, seconds + 30, cpus))
    wrong = result["errors"] + result["refused"]
    if result["requests"] == 0 or (strict and wrong):
        raise BenchError(f"load on {request.method} {request.path} went wrong: {result}")
    return result


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
