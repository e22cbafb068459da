"""What is measured: a table of servers, a table of rows, a table of ratios.

A new contender (nginx with Lua, FastAPI, a database behind them) is one entry in SERVERS, and one
entry in ROWS for each request that it is asked."""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
import time
from collections.abc import Callable

from . import procs
from .client import Connection, Request, wait_until_ready
from .procs import BenchError, CommandError

OUTPUT = "output"
STOCK = 2_000_000_000  # no bench sells it out
IN_MEMORY = "memory:"
ON_DISK = "sqlite:{scratch}/ledger.db"
READY_TIMEOUT_S = 20

AVAILABLE = Request("GET", "/api/v1/available")
READY = Request("GET", "/ready")
PURCHASE = Request("POST", "/api/v1/purchase", '{"qty":1}')


class Place:
    """Where one server runs: the build it comes from, its ports, a directory of its own."""

    def __init__(self, build, scratch):
        self.build = pathlib.Path(build)
        self.scratch = pathlib.Path(scratch)
        self._ports = {}

    def port(self, name="public"):
        """A free port for each name; `public` is the one that the load goes to."""
        if name not in self._ports:
            self._ports[name] = procs.free_port()
        return self._ports[name]

    def write(self, files):
        """Puts what a server reads into the directory: {name: text}."""
        for name, text in files.items():
            (self.scratch / name).write_text(text, encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    # Command lines, started together.  They end on SIGTERM, and everything they fork counts as
    # theirs.
    commands: Callable[[Place], list[list[str]]]
    # Programs that must exist: a name in PATH or where PATHs of root look too, or {build}/….
    needs: tuple[str, ...]
    # {scratch} in a value is the directory of its own.
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    ready_path: str = AVAILABLE.path
    # Which core(s): "server" shares one with all its processes, "any" is left to the scheduler,
    # "others" has all but the load's, and is "any" where that would be one.
    pinning: str = "server"
    # What they read, written into place.scratch before they start: {name: text}.
    files: Callable[[Place], dict[str, str]] = lambda _place: {}

    def missing(self, build):
        """The first thing it needs that is not there, or None."""
        for need in self.needs:
            path = need.format(build=build)
            if procs.program(path) is None:
                return path
        return None

    def cpus(self, bench):
        """The cores that it is pinned to, or None; the load is pinned only if the server is."""
        if self.pinning == "server":
            return {bench.server_cpu}
        others = os.sched_getaffinity(0) - {bench.load_cpu}
        return others if self.pinning == "others" and len(others) > 1 else None

    def settings(self, scratch):
        """The environment of a server that runs in that directory."""
        return {name: value.format(scratch=scratch) for name, value in self.environment.items()}


def _floor(kind):
    return Server(
        name=f"floor-{kind}",
        commands=lambda place: [[f"{place.build}/tests/bench/floor-{kind}", str(place.port())]],
        needs=(f"{{build}}/tests/bench/floor-{kind}",),
    )


def _command(place, mode, stock, **options):
    words = [f"{place.build}/ticketd", "--deployment-mode", mode]
    for name, value in {"host": "127.0.0.1", **options, "initial_stock": stock}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _environment(ledger, settings):
    # A rebuild under a running bench must not restart the server that is being measured.
    given = {name: str(value) for name, value in settings.items()}
    return {"RELOAD": "false", "LEDGER_URL": ledger, **given}


def _count(workers):
    return {0: "a worker a CPU", 1: "1 worker"}.get(workers, f"{workers} workers")


def ticketd(
    workers=1,
    pinning="server",
    ledger=IN_MEMORY,
    ready_path=AVAILABLE.path,
    stock=STOCK,
    **settings,
):
    """The monolith; `settings` are names of the settings table, given as environment variables.
    0 workers: one for each CPU that it may use."""
    return Server(
        name=f"ticketd, {_count(workers)}, {ledger.partition(':')[0]}:",
        commands=lambda place: [
            _command(place, "monolith", stock, monolith_port=place.port(), workers=workers)
        ],
        needs=("{build}/ticketd",),
        environment=_environment(ledger, settings),
        ready_path=ready_path,
        pinning=pinning,
    )


def microservices(pinning="server", ledger=IN_MEMORY, workers=1, stock=STOCK, **settings):
    """Both pools under one master, so many workers each; the load goes to the ticket pool."""
    return Server(
        name=f"ticketd, two pools, {_count(workers)} each, {ledger.partition(':')[0]}:",
        commands=lambda place: [
            _command(
                place,
                "microservices",
                stock,
                ticket_port=place.port(),
                vacancy_port=place.port("vacancy"),
                ticket_workers=workers,
                vacancy_workers=workers,
            )
        ],
        needs=("{build}/ticketd",),
        environment=_environment(ledger, settings),
        # 200 once the ticket pool reaches the vacancy pool, and that can sell.
        ready_path=READY.path,
        pinning=pinning,
    )


SERVERS = {
    "epoll": _floor("epoll"),
    "h2o": _floor("h2o"),
    "ticketd": ticketd(),
    "durable": ticketd(ledger=ON_DISK),
}


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    server: str
    request: Request


# In this order within each round, so that the two sides of a ratio run next to each other.  Rows of
# ticketd that do not say "durable" keep their sales in memory: alone, as libh2o's have no disk.
ROWS = [
    Row("bare epoll loop, GET", "epoll", AVAILABLE),
    Row("libh2o, GET", "h2o", AVAILABLE),
    Row("ticketd, available", "ticketd", AVAILABLE),
    Row("bare epoll loop, POST", "epoll", PURCHASE),
    Row("libh2o, POST", "h2o", PURCHASE),
    Row("ticketd, purchase", "ticketd", PURCHASE),
    Row("ticketd, durable purchase", "durable", PURCHASE),
]


@dataclasses.dataclass(frozen=True)
class Ratio:
    row: str
    to: str
    goal: float | None = None


RATIOS = [
    Ratio("ticketd, purchase", "libh2o, POST", 1.15),
    Ratio("ticketd, available", "libh2o, GET", 1.10),
    Ratio("ticketd, purchase", "bare epoll loop, POST"),
    Ratio("ticketd, available", "bare epoll loop, GET"),
    Ratio("ticketd, durable purchase", "ticketd, purchase"),
    Ratio("libh2o, POST", "bare epoll loop, POST"),
    Ratio("libh2o, GET", "bare epoll loop, GET"),
]


class Running:
    """A started server: its processes, its port, a directory of its own, how long it took until it
    answered."""

    def __init__(self, started, place, ready_s):
        self.started = started
        self.port = place.port()
        self.scratch = place.scratch
        self.ready_s = ready_s

    def output(self):
        """What it has written so far: its log."""
        return (self.scratch / OUTPUT).read_text(encoding="utf-8", errors="replace")

    def pids(self):
        return self.started.pids()

    def workers(self):
        """The processes that serve: ticketd's say so in their titles; elsewhere all of them."""
        pids = self.pids()
        return [pid for pid in pids if procs.title(pid).startswith("ticketd: worker")] or pids


def scratch_directory(bench):
    """A directory on the disk that is measured, for a `with`: it is gone afterwards."""
    return tempfile.TemporaryDirectory(
        prefix="ticketd-bench-", dir=bench.scratch, ignore_cleanup_errors=True
    )


@contextlib.contextmanager
def running(server, bench, wrapper=(), ready_timeout_s=READY_TIMEOUT_S):
    """Starts the server, pinned as the table says, waits until it answers, and ends it.  `wrapper`
    goes in front of each command: a profiler, say."""
    missing = server.missing(bench.build)
    if missing:
        raise BenchError(f"{server.name}: {missing} is missing")
    with (
        scratch_directory(bench) as scratch,
        contextlib.ExitStack() as stack,
    ):
        place = Place(bench.build, scratch)
        place.write(server.files(place))
        log = stack.enter_context(open(place.scratch / OUTPUT, "w+", encoding="utf-8"))
        commands = [[*wrapper, *command] for command in server.commands(place)]
        started = procs.Started(commands, server.settings(scratch), server.cpus(bench), log)
        began = time.monotonic()
        try:
            with started:
                wait_until_ready(started, place.port(), server.ready_path, ready_timeout_s)
                yield Running(started, place, time.monotonic() - began)
        except CommandError:
            raise
        except BenchError as error:
            log.seek(0)
            raise BenchError(f"{server.name}: {error}\n{log.read()[-2000:]}".rstrip()) from None


def _described_place(bench):
    place = Place(bench.build, "$SCRATCH")
    place.port = lambda name="public": f"${name.upper()}_PORT"
    return place


def describe(server, bench):
    """The command lines as a reader would type them, ports left open."""
    settings = [f"{name}={value}" for name, value in server.settings("$SCRATCH").items()]
    cpus = server.cpus(bench)
    pin = ["taskset", "-c", ",".join(str(cpu) for cpu in sorted(cpus))] if cpus else []
    prefix = (["env", *settings] if settings else []) + pin
    return [" ".join([*prefix, *command]) for command in server.commands(_described_place(bench))]


def describe_files(server, bench):
    """What they read, each file on one line."""
    return [
        f"$SCRATCH/{name}: {' '.join(text.split())}"
        for name, text in server.files(_described_place(bench)).items()
    ]


def sample_answer(port, request, sold_out=False):
    """One answer to look at before the load begins: a refusal measured is no measurement, unless
    `sold_out` says that refusals are what is to be measured."""
    with Connection(port) as connection:
        answer = connection.exchange(request)
    refused = b'"success":false' in answer.body.replace(b" ", b"")
    if answer.status != 200 or refused != sold_out:
        raise BenchError(f"{request.method} {request.path}: {answer.status} {answer.body[:200]!r}")
    return answer
