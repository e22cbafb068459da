"""A worker is killed under load: how long until all is as if it had never been.

Two ways to die: anywhere, where nearly always nothing is lost but its own connections; and in the
middle of a sale, where it has taken a ticket and its place in the journal and not said so: all
later sales of the event wait behind that place until the master has repaired it."""

import bisect
import datetime
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import threading
import time

from . import disk, figures, procs, report
from .client import Connection
from .procs import BenchError, CommandError
from .report import say
from .targets import AVAILABLE, ON_DISK, PURCHASE, STOCK, running, ticketd

# Each worker of a server is killed once: one that dies again soon starts again later, on purpose.
WORKERS = 4
BUYERS = 32
GOAL_MS = 100
UNDISTURBED_S = 0.5  # before each kill
WATCHED_S = 1.0  # after each kill
REPLACED_TIMEOUT_S = 5
KILL_TIMEOUT_S = 60
SKIPPED = 77
ANYWHERE, IN_A_SALE = "anywhere", "in the middle of a sale"
FIGURES = {
    "gap_ms": "longest time without an answer to any purchase",
    "stamped_ms": "until the journal's slot was repaired",
    "durable_ms": "until the ledger had passed it",
    "replaced_ms": "until the new worker was forked",
}


class Buyers:
    """Connections that buy one ticket after another until the end of the `with`, and the moments of
    the answers, in nanoseconds of the monotonic clock."""

    def __init__(self, port):
        self.port = port
        self.answers = []
        self.refused = 0
        self.unanswered = 0
        self.error = None
        self.over = threading.Event()
        self.selector = selectors.DefaultSelector()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_reason):
        self.over.set()
        self.thread.join()

    def _ask(self, sock):
        sock.sendall(PURCHASE.bytes())

    def _open(self):
        sock = socket.create_connection(("127.0.0.1", self.port), 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ask(sock)
        self.selector.register(sock, selectors.EVENT_READ)

    def _close(self, sock):
        """The one way that a connection ends here is with a question on its way."""
        self.selector.unregister(sock)
        sock.close()
        self.unanswered += 1

    def _receive(self, sock):
        try:
            answer = sock.recv(65536)
        except OSError:
            answer = b""
        if not answer:
            self._close(sock)
            self._open()
        elif answer.startswith(b"HTTP/1.1 200") and b'"success":true' in answer:
            self.answers.append(time.monotonic_ns())
            self._ask(sock)
        elif answer.startswith(b"HTTP/1.1 503"):
            self.refused += 1
            self._ask(sock)
        else:
            raise BenchError(f"a purchase was answered with {answer[:200]!r}")

    def _run(self):
        try:
            for _ in range(BUYERS):
                self._open()
            while not self.over.is_set():
                for key, _events in self.selector.select(0.1):
                    self._receive(key.fileobj)
        except (OSError, BenchError) as error:
            self.error = error
        finally:
            for key in list(self.selector.get_map().values()):
                self._close(key.fileobj)
            self.selector.close()


def longest_gap_ns(answers, begin, end):
    """The longest time between two answers in a row, of those that touch begin … end.  `answers` is
    ascending; before the first and after the last one nothing is known."""
    first = max(bisect.bisect_right(answers, begin) - 1, 0)
    last = bisect.bisect_left(answers, end)
    within = answers[first : last + 1]
    return max((b - a for a, b in zip(within, within[1:], strict=False)), default=0)


def parse_kill(output):
    """What kill-in-sale says in its last line: {name: number}."""
    found = re.search(r"^kill-in-sale (.*)$", output, re.M)
    if not found:
        raise BenchError("kill-in-sale printed no result:\n" + output)
    return {name: int(value) for name, value in (word.split("=") for word in found[1].split())}


def forks_of(log):
    """[(seconds since 1970, worker's index, pid)] of the master's log, in JSON."""
    forks = []
    for line in log.splitlines():
        found = re.search(r'"message":"worker (\d+) has pid (\d+)"', line)
        if found:
            at = datetime.datetime.fromisoformat(json.loads(line)["time"]).timestamp()
            forks.append((at, int(found[1]), int(found[2])))
    return forks


def _replaced_at(server, index, victim):
    """When the master forked the successor, by its log, on the wall clock."""
    deadline = time.monotonic() + REPLACED_TIMEOUT_S
    while time.monotonic() < deadline:
        after = False
        for at, whose, pid in forks_of(server.output()):
            if after and whose == index:
                return at
            after = after or pid == victim
        time.sleep(0.01)
    raise BenchError(f"worker {index} was not replaced within {REPLACED_TIMEOUT_S} s")


def _kill_anywhere(_bench, _server, victim):
    killed_ns = time.monotonic_ns()
    os.kill(victim, signal.SIGKILL)
    return {"killed_ns": killed_ns}


def _kill_in_sale(bench, server, victim):
    tool = str(pathlib.Path(bench.build) / "tests/bench/kill-in-sale")
    said = parse_kill(procs.run([tool, str(server.pids()[0]), str(victim)], KILL_TIMEOUT_S))
    return {
        "killed_ns": said["killed_ns"],
        "stamped_ms": said["stamped_us"] / 1e3,
        "durable_ms": said["durable_us"] / 1e3,
        "steps": said["steps"],
    }


KILLERS = {ANYWHERE: _kill_anywhere, IN_A_SALE: _kill_in_sale}


def _kill_one(bench, server, buyers, killer, index, victim):
    time.sleep(UNDISTURBED_S)
    quiet_to = time.monotonic_ns()
    quiet_from = quiet_to - int(UNDISTURBED_S * 1e9)
    found = killer(bench, server, victim)
    killed_at = time.time() - (time.monotonic_ns() - found["killed_ns"]) / 1e9
    replaced_at = _replaced_at(server, index, victim)
    time.sleep(WATCHED_S)
    if buyers.error:
        raise BenchError(f"the buyers gave up: {buyers.error}")
    answers = list(buyers.answers)
    killed_ns = found["killed_ns"]
    gap_ns = longest_gap_ns(answers, killed_ns, killed_ns + int(WATCHED_S * 1e9))
    return {
        **found,
        "gap_ms": gap_ns / 1e6,
        "quiet_gap_ms": longest_gap_ns(answers, quiet_from, quiet_to) / 1e6,
        "replaced_ms": (replaced_at - killed_at) * 1e3,
    }


def _wait_for_workers(server):
    """[(index, pid)] of all workers; the first one answers before the last one is forked."""
    deadline = time.monotonic() + REPLACED_TIMEOUT_S
    while len(found := forks_of(server.output())) < WORKERS:
        if time.monotonic() > deadline:
            raise BenchError(f"{len(found)} workers, {WORKERS} expected")
        time.sleep(0.02)
    return [(index, pid) for _, index, pid in found]


def _check_sold(server, buyers):
    """Every answer was a ticket; beyond that only what was asked and not answered may be sold.
    Tickets of voids come back a moment later."""
    deadline = time.monotonic() + REPLACED_TIMEOUT_S
    answered = len(buyers.answers)
    while True:
        with Connection(server.port) as connection:
            sold = STOCK - json.loads(connection.exchange(AVAILABLE).body)["qty"]
        if answered <= sold <= answered + buyers.unanswered:
            return
        if time.monotonic() > deadline:
            raise BenchError(f"{sold} sold, {answered} answered, {buyers.unanswered} not answered")
        time.sleep(0.02)


def _kill_all(bench, killer):
    """One server, all of its workers killed one after the other."""
    entry = ticketd(WORKERS, "any", ON_DISK, LOG_LEVEL="DEBUG", JSON_LOGS="true")
    with running(entry, bench) as server:
        workers = _wait_for_workers(server)
        with Buyers(server.port) as buyers:
            kills = [
                _kill_one(bench, server, buyers, killer, index, victim) for index, victim in workers
            ]
        _check_sold(server, buyers)
    return {
        "kills": kills,
        "answers": len(buyers.answers),
        "refused": buyers.refused,
        "unanswered": buyers.unanswered,
    }


def _print(results):
    lines = []
    for how, servers in results.items():
        kills = [kill for server in servers for kill in server["kills"]]
        for key, text in FIGURES.items():
            if key not in kills[0]:
                continue
            each = figures.summary([kill[key] for kill in kills])
            lines.append(
                [
                    f"killed {how}: {text}",
                    len(kills),
                    f"{each['median']:.1f}",
                    f"{each['max']:.1f}",
                    report.goal(each["max"], GOAL_MS),
                ]
            )
        quiet = figures.summary([kill["quiet_gap_ms"] for kill in kills])
        lines.append(
            [
                "  (that gap with nobody killed)",
                "",
                f"{quiet['median']:.1f}",
                f"{quiet['max']:.1f}",
                "",
            ]
        )
    report.table(["ms after SIGKILL", "kills", "median", "max", "goal for the max"], lines)
    for how, servers in results.items():
        say(
            f"killed {how}: {sum(server['answers'] for server in servers)} purchases answered, "
            f"{sum(server['refused'] for server in servers)} refused with 503, "
            f"{sum(server['unanswered'] for server in servers)} cut off with their connection."
        )
    say()


def run(bench):
    kind = disk.require_disk(bench.scratch)
    if missing := ticketd().missing(bench.build):
        say(f"left out: {missing} is missing")
        return {}
    times = max(1, round(bench.kills / WORKERS))
    say(
        f"{times} servers for each way to die, {WORKERS} workers each, a ledger on {kind}; every "
        f"worker is killed once while {BUYERS} connections buy. Foreign load is not waited out."
    )
    busy, began = procs.busy_s(), time.monotonic()
    results = {}
    for how, killer in KILLERS.items():
        try:
            results[how] = [_kill_all(bench, killer) for _ in range(times)]
        except CommandError as error:
            if error.status != SKIPPED:
                raise
            say(f"left out: killed {how} ({error})")
    busy = (procs.busy_s() - busy) / (time.monotonic() - began)
    say(f"CPUs busy meanwhile, the bench's own load included: {busy:.2f}")
    say()
    _print(results)
    return results
