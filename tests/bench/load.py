"""Load: wrk for rates and latencies, a lockstep client where requests must be counted exactly."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from . import procs
from .client import Connection, Request
from .procs import BenchError

SCRIPT = pathlib.Path(__file__).with_name("wrk_report.lua")
CONNECTIONS = 64
# An answer that comes later is counted as none.  wrk's own 2 s would count a burst of ten thousand
# connections, of which the kernel has some try again, as broken.
TIMEOUT_S = 20
OPENING_S = 60
OPENING_STEP_S = 0.05
# A busy server is slow to accept the last of ten thousand; they come meanwhile.
OPEN_SHARE = 0.99
LONG_S = 3600  # more than any measurement: wrk is told when to end


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


def parse_result(output):
    for line in output.splitlines():
        if line.startswith("bench-result "):
            return {
                name: int(value) for name, value in (word.split("=") for word in line.split()[1:])
            }
    raise BenchError("the load printed no result:\n" + output)


def wrk(port, request, seconds, cpus, connections=CONNECTIONS, strict=True):
    """What wrk found."""
    command = wrk_command(port, request, seconds, connections)
    result = parse_result(procs.run(command, seconds + TIMEOUT_S + 10, cpus))
    return checked(result, request, strict)


def checked(result, request, strict=True):
    """A load that went wrong is an error, unless how much went wrong is the question."""
    wrong = result["errors"] + result["refused"]
    if result["requests"] == 0 or (strict and wrong):
        raise BenchError(f"load on {named(request)} went wrong: {result}")
    return result


class Driving:
    """wrk at work on connections that are open; the `with` block ends it.  What happens between two
    instants within the block has next to no opening and closing of connections in it."""

    def __init__(self, port, request, cpus, connections=CONNECTIONS):
        self.port, self.request, self.connections = port, request, connections
        self.said = tempfile.TemporaryFile("w+")
        command = wrk_command(port, request, LONG_S, connections)
        self.started = procs.Started([command], cpus=cpus, output=self.said)

    def __enter__(self):
        self.started.__enter__()
        try:
            self._wait_until_open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_reason):
        self.started.stop()
        self.said.close()

    def _wait_until_open(self):
        deadline = time.monotonic() + OPENING_S
        while len(procs.established_inodes(self.port) - {0}) < OPEN_SHARE * self.connections:
            if time.monotonic() > deadline or self.started.exited():
                raise BenchError(f"wrk could not open {self.connections} connections")
            # Looking through ten thousand takes a core that the server or wrk could have.
            time.sleep(OPENING_STEP_S * max(1, self.connections / 1000))

    def sent(self):
        """How many requests it has sent: each is one write, and it writes nothing else meanwhile."""
        return procs.write_count(self.started.processes[0].pid)

    def cpu_s(self):
        return procs.cpu_ns(self.started.pids()) / 1e9

    def end(self, strict=True):
        """Has it end now; what it found from its start on."""
        process = self.started.processes[0]
        process.send_signal(signal.SIGINT)
        try:
            process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BenchError("wrk does not end") from None
        self.said.seek(0)
        return checked(parse_result(self.said.read()), self.request, strict)


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
