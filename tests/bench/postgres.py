"""The same sale done by PostgreSQL, on the same disk and in the same run: one hot row of stock that
everybody takes from, and an order for each sale, in one transaction that is synced before it is
answered.

PostgreSQL gets what helps it: prepared statements, one statement for the whole sale beside the
usual transaction, a write-ahead log with room for the whole run."""

import functools
import os
import pathlib
import pwd
import re
import shutil
import time

from . import disk, figures, load, procs, report, visit
from .procs import BenchError
from .report import say
from .targets import ON_DISK, PURCHASE, STOCK, describe, scratch_directory, ticketd

GOAL = 10
PACKAGES = "postgresql-15 (or another), with pgbench: tools/install-dependencies bench"
USERS = ("postgres", "nobody")  # in this order, for a server that refuses to be root
LATENCIES = "latencies"
INITDB_TIMEOUT_S = 120
READY_TIMEOUT_S = 30
SCHEMA = (
    "CREATE TABLE stock (event int PRIMARY KEY, available int NOT NULL CHECK (available >= 0));"
    "CREATE TABLE orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), event int NOT NULL,"
    " quantity int NOT NULL, created_at timestamptz NOT NULL DEFAULT now());"
    f"INSERT INTO stock VALUES (1, {STOCK});"
)
SCRIPTS = {
    "PostgreSQL, a transaction": (
        "BEGIN;\n"
        "UPDATE stock SET available = available - 1 WHERE event = 1 AND available >= 1;\n"
        "INSERT INTO orders (event, quantity) VALUES (1, 1);\n"
        "COMMIT;\n"
    ),
    "PostgreSQL, one statement": (
        "WITH taken AS (UPDATE stock SET available = available - 1"
        " WHERE event = 1 AND available >= 1 RETURNING event)"
        " INSERT INTO orders (event, quantity) SELECT event, 1 FROM taken;\n"
    ),
}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "on",
}


def program(name):
    """Its path: in PATH, or where Debian keeps the newest release's; None when there is none."""
    found = sorted(
        pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: float(path.parts[-3]),
    )
    return str(found[-1]) if found else shutil.which(name)


def missing():
    """The first program that is not there, or None."""
    programs = ("initdb", "postgres", "pgbench", "psql")
    return next((name for name in programs if program(name) is None), None)


def _user():
    """Who runs PostgreSQL: None for us, as whom it agrees to run unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise BenchError("PostgreSQL refuses to run as root, and there is no other user")


def _as_user(command):
    """The command as that user.  Changing the user clears what ends a child with its parent, so it
    is asked for again."""
    user = _user()
    if user is None:
        return command
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids, "--pdeathsig", "TERM", "--", *command]


def parse_pgbench(output):
    """Sales a second, milliseconds a sale, and how many failed."""
    rate = re.search(r"^tps = ([\d.]+)", output, re.M)
    latency = re.search(r"^latency average = ([\d.]+) ms", output, re.M)
    count = re.search(r"^number of transactions actually processed: (\d+)", output, re.M)
    failed = re.search(r"^number of failed transactions: (\d+)", output, re.M)
    if not (rate and latency and count):
        raise BenchError("pgbench printed no result:\n" + output)
    return {
        "rps": float(rate[1]),
        "mean_ms": float(latency[1]),
        "requests": int(count[1]),
        "failed": int(failed[1]) if failed else 0,
    }


def latencies_us(log):
    """The latency of each sale of a log of pgbench: its third column."""
    return [int(line.split()[2]) for line in log.splitlines()]


class Postgres:
    """A server of its own in a directory of its own, there while the `with` lasts; on those CPUs,
    or wherever the scheduler puts it.  So many clients buy."""

    def __init__(self, scratch, cpus=None, clients=load.CONNECTIONS):
        self.scratch = pathlib.Path(scratch).resolve()
        self.clients = clients
        self.port = procs.free_port()
        self.data = self.scratch / "data"
        self.where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "bench"]
        settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        server = [program("postgres"), "-D", str(self.data), "-p", str(self.port), *settings]
        self.log = open(self.scratch / "output", "w+", encoding="utf-8")  # noqa: SIM115
        self.started = procs.Started([_as_user(server)], cpus=cpus, output=self.log)

    def _initialise(self):
        if user := _user():
            os.chown(self.scratch, user.pw_uid, user.pw_gid)
        initdb = [program("initdb"), "-D", str(self.data), "-U", "bench", "--auth=trust"]
        procs.run(_as_user([*initdb, "--no-locale", "--encoding=UTF8"]), INITDB_TIMEOUT_S)

    def _sql(self, text):
        ask = [program("psql"), *self.where, "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1"]
        return procs.run([*ask, "-c", text], 30).strip()

    def _wait(self):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                return self._sql("SELECT 1")
            except BenchError as error:
                if self.started.exited() or time.monotonic() > deadline:
                    self.log.seek(0)
                    raise BenchError(f"{error}\n{self.log.read()[-2000:]}".rstrip()) from None
            time.sleep(0.1)

    def __enter__(self):
        try:
            self._initialise()
            self.started.__enter__()
            self._wait()
            self._sql(SCHEMA)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_reason):
        self.started.stop()
        self.log.close()

    def command(self, script, seconds):
        """pgbench as a reader would type it, but for the places of the script and of its log, which
        has the latency of each sale."""
        clients = ["-c", str(self.clients), "-j", str(len(os.sched_getaffinity(0)))]
        options = ["-n", "-M", "prepared", *clients, "-T", str(seconds)]
        options += ["-l", "--log-prefix", str(self.scratch / LATENCIES)]
        return [program("pgbench"), *self.where, *options, "-f", str(script), "postgres"]

    def _cpu_s(self):
        """The server's own, and that of backends whose connection has ended."""
        pids = self.started.pids()
        return procs.cpu_ns(pids) / 1e9 + procs.ended_children_s(pids[0])

    def _load(self, path, seconds, cpus):
        """What pgbench found, and the latencies that it logged, in microseconds."""
        result = parse_pgbench(procs.run(self.command(path, seconds), seconds + 30, cpus))
        latencies = []
        for log in self.scratch.glob(f"{LATENCIES}.*"):
            latencies += latencies_us(log.read_text(encoding="utf-8"))
            log.unlink()
        return result, latencies

    def measure(self, script, bench, cpus=None):
        path = self.scratch / "sale.sql"
        path.write_text(script, encoding="utf-8")
        self._load(path, bench.warmup_s, cpus)
        sold = STOCK - int(self._sql("SELECT available FROM stock"))
        before = visit.clocks(self._cpu_s())
        result, latencies = self._load(path, bench.seconds, cpus)
        after = visit.clocks(self._cpu_s())
        sold = STOCK - int(self._sql("SELECT available FROM stock")) - sold
        if result["failed"] or sold < result["requests"]:
            raise BenchError(f"pgbench sold {sold}: {result}")
        return {
            **result,
            "p50_us": figures.percentile(latencies, 50),
            "p99_us": figures.percentile(latencies, 99),
            "p999_us": figures.percentile(latencies, 99.9),
            **visit.costs(before, after, result["requests"]),
            "pss_kib": procs.pss_kib(self.started.pids()),
        }


def _print(rounds, ratios):
    report.table(
        [f"{load.CONNECTIONS} clients, all cores", "sales/s", "min…max", "CPU µs/sale"]
        + ["server busy", "foreign CPUs"],
        [
            [
                name,
                f"{rps['median']:.0f}",
                f"{rps['min']:.0f}…{rps['max']:.0f}",
                f"{figures.summary([found['cpu_us'] for found in visits])['median']:.1f}",
                f"{max(found['server_busy'] for found in visits):.0%}",
                f"{max(found['foreign_cpus'] for found in visits):.2f}",
            ]
            for name, visits in rounds.items()
            for rps in [figures.summary([found["rps"] for found in visits])]
        ],
    )
    each = figures.summary(ratios)
    verdict = "met" if each["median"] >= GOAL else "MISSED"
    say(
        f"ticketd / the better of PostgreSQL: {each['median']:.1f} times the sales "
        f"({each['min']:.1f}…{each['max']:.1f}); goal ≥ {GOAL}: {verdict}"
    )
    say()


def ratios_of(rounds, ours):
    """One a round: ours to the better of the others in that round."""
    others = [visits for name, visits in rounds.items() if name != ours]
    best = [max(found["rps"] for found in each) for each in zip(*others, strict=True)]
    return figures.round_ratios([found["rps"] for found in rounds[ours]], best)


def announce_database():
    """Says which PostgreSQL this is, how it is set and what it is asked; its version."""
    version = procs.run([program("postgres"), "--version"], 10).strip()
    say(f"{version}, {', '.join(f'{name}={value}' for name, value in SETTINGS.items() if value)}")
    for name, script in SCRIPTS.items():
        say(f"{name}: {' '.join(script.split())}")
    return version


def _announce(bench, server, kind):
    """Says what is run, and how; PostgreSQL's version."""
    version = announce_database()
    say(f"{server.name}: {describe(server, bench)[0]}")
    say(
        f"{bench.rounds} rounds, {load.CONNECTIONS} clients, {bench.seconds} s each after "
        f"{bench.warmup_s} s, on {kind}; pgbench with prepared statements, wrk; servers and load "
        f"on all cores. {visit.FOREIGN}"
    )
    return version


def run(bench):
    load.require_wrk()
    kind = disk.require_disk(bench.scratch)
    server = ticketd(workers=0, pinning="any", ledger=ON_DISK)
    if absent := server.missing(bench.build):
        say(f"left out: {absent} is missing")
        return {}
    if absent := missing():
        say(f"left out: {absent} is missing; install {PACKAGES}")
        return {}
    version = _announce(bench, server, kind)
    rounds = {name: [] for name in (server.name, *SCRIPTS)}
    with scratch_directory(bench) as scratch, Postgres(scratch) as postgres:
        for number in range(bench.rounds):
            rounds[server.name].append(visit.measure_undisturbed(server, PURCHASE, bench))
            for name, script in SCRIPTS.items():
                measure = functools.partial(postgres.measure, script, bench)
                rounds[name].append(visit.undisturbed(measure, bench))
            rates = ", ".join(f"{visits[-1]['rps']:.0f}" for visits in rounds.values())
            say(f"  round {number + 1}: sales/s {rates}")
    say()
    ratios = ratios_of(rounds, server.name)
    _print(rounds, ratios)
    return {"version": version, "rounds": rounds, "ratios": ratios}
