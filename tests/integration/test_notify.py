"""What a service manager is told (sd_notify), heard on a socket of our own: no systemd has to run."""

import os
import re
import select
import signal
import socket
import time

import pytest

from durability import keeper, paused
from harness import AVAILABLE, DEADLINE_S, SLOW, Client, eventually, request_bytes, title


class Ear:
    """A manager's end of the socket."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.heard = []  # (time, {name: value})

    def listen(self, wait_s=0.0):
        while select.select([self.sock], [], [], wait_s)[0]:
            lines = self.sock.recv(4096).decode().splitlines()
            self.heard.append((time.monotonic(), dict(line.split("=", 1) for line in lines)))
            wait_s = 0.0
        return self.heard

    def mark(self):
        return len(self.listen())

    def wait(self, name, since=0, pattern="."):
        """The first message from `since` on with that assignment."""
        def found():
            return [said for _, said in self.listen(0.02)[since:] if re.match(pattern, said.get(name, ""))]
        return eventually(found, f"{name} is told")[0]

    def names(self, since=0):
        """What the manager's states hang on, in order."""
        states = ("READY", "RELOADING", "STOPPING")
        return [name for _, said in self.listen()[since:] for name in said if name in states]

    def times(self, name, since=0):
        return [when for when, said in self.listen()[since:] if name in said]


@pytest.fixture
def ear(tmp_path):
    one = Ear(tmp_path)
    yield one
    one.sock.close()


# READY=1 is said once, and whoever hears it is served.
def test_ready(start, ear):
    server = start(NOTIFY_SOCKET=ear.path)
    assert ear.wait("READY")["STATUS"] == "Running: 2 of 2 workers serve"
    assert server.ask("GET", "/ready").status == 200
    server.stop()
    assert ear.names() == ["READY", "STOPPING"]


# It is not said while something is missing: here the ledger, which an old tree still holds.
def test_not_ready_without_ledger(start, ear, tmp_path):
    ledger = f"sqlite:{tmp_path}/ledger.db"
    old = start(LEDGER_URL=ledger)
    new = start(LEDGER_URL=ledger, NOTIFY_SOCKET=ear.path, ready=False)
    ear.wait("STATUS", pattern="Starting: loading the ledger")
    assert not select.select([ear.sock], [], [], 0.5)[0]
    old.stop()
    ear.wait("READY")
    assert ear.names() == ["READY"]
    new.wait_ready()


# An abstract socket does as well as one with a path.
def test_abstract_socket(start, ear):
    ear.sock.close()
    ear.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.sock.bind(f"\0ticketd-test-{os.getpid()}")
    start(NOTIFY_SOCKET=f"@ticketd-test-{os.getpid()}")
    ear.wait("READY")


# A reload begins and ends for the manager, too, with the time that Type=notify-reload compares.
def test_reload(start, ear):
    server = start(NOTIFY_SOCKET=ear.path)
    ear.wait("READY")
    since, before_us = ear.mark(), time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    server.send_signal(signal.SIGHUP)
    told = ear.wait("RELOADING", since)
    assert before_us <= int(told["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    ear.wait("READY", since)
    assert ear.names(since) == ["RELOADING", "READY"]
    server.wait_log("reload done")


# So does one that is refused at once.
def test_reload_refused(start, ear):
    server = start(config={"CACHE_TTL_SECONDS": 7}, NOTIFY_SOCKET=ear.path)
    ear.wait("READY")
    since = ear.mark()
    server.write_config("CACHE_TTL_SECONDS=never\n")
    server.send_signal(signal.SIGHUP)
    ear.wait("READY", since)
    assert ear.names(since) == ["RELOADING", "READY"]


# While a client is still being answered, the manager hears again and again that the stop goes on.
def test_stop_takes_time(start, ear):
    server = start(NOTIFY_SOCKET=ear.path, SHUTDOWN_TIMEOUT=4)
    ear.wait("READY")
    request = request_bytes("POST", "/api/v1/reserve", {"qty": 1})
    with server.connect() as client:
        client.send(request[:-2])
        server.ask("GET", AVAILABLE)  # the other one has been accepted by now
        since = ear.mark()
        server.send_signal(signal.SIGTERM)
        ear.wait("STOPPING", since)
        eventually(lambda: len(ear.times("EXTEND_TIMEOUT_USEC", since)) >= 3, "more time is asked for")
        assert ear.wait("STATUS", since).get("STATUS").startswith("Stopping: ")
        client.send(request[-2:])
        assert client.answer().status == 200
    assert server.wait_exit() == 0
    assert int(ear.wait("EXTEND_TIMEOUT_USEC", since)["EXTEND_TIMEOUT_USEC"]) > 2000000


# The watchdog is fed in time, by an idle master, in a reload, and while the ledger's keeper stands still.
def test_watchdog(start, ear):
    watchdog_s = 0.6 * SLOW
    server = start(NOTIFY_SOCKET=ear.path, WATCHDOG_USEC=int(watchdog_s * 1e6))
    ear.wait("WATCHDOG")
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done")
    with paused(keeper(server)):
        end = time.monotonic() + 4 * watchdog_s
        while time.monotonic() < end:
            ear.listen(0.05)
    times = ear.times("WATCHDOG")
    assert len(times) >= 6
    assert max(b - a for a, b in zip(times, times[1:])) < watchdog_s


# A master that stands still does not feed it, whoever else runs on.
def test_watchdog_of_hung_master(start, ear):
    server = start(NOTIFY_SOCKET=ear.path, WATCHDOG_USEC=200000)
    ear.wait("WATCHDOG")
    with paused(server.master_pid):
        since = ear.mark()
        assert server.ask("GET", AVAILABLE).status == 200
        assert not select.select([ear.sock], [], [], 0.6)[0], ear.listen()[since:]
    ear.wait("WATCHDOG", since)


# A watchdog that is meant for another process is not fed.
def test_watchdog_of_another(start, ear):
    server = start(NOTIFY_SOCKET=ear.path, WATCHDOG_USEC=100000, WATCHDOG_PID=1)
    ear.wait("READY")
    assert server.ask("GET", AVAILABLE).status == 200
    assert not ear.times("WATCHDOG")


# A manager that does not read stops nobody: the master goes on, and tells the newest when there is room again.
def test_deaf_manager(start, ear):
    server = start(NOTIFY_SOCKET=ear.path, WATCHDOG_USEC=20000)
    ear.wait("READY")
    eventually(lambda: _is_full(ear.path), "the socket is full")
    for pid in server.workers():
        if " 0 " in title(pid):
            os.kill(pid, signal.SIGKILL)
    server.wait_log("was killed by signal 9")
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done")
    since = ear.mark()
    ear.wait("READY", since)
    ear.wait("WATCHDOG", since)
    assert ear.names()[-2:] == ["RELOADING", "READY"]


def _is_full(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        probe.connect(path)
        return not select.select([], [probe], [], 0)[1]


# A restart in place is the same main process, and becomes ready again.
def test_restart_in_place(start, ear):
    server = start(config={"CACHE_TTL_SECONDS": 7}, NOTIFY_SOCKET=ear.path, RELOAD="true", ENVIRONMENT="development")
    ear.wait("READY")
    since, log = ear.mark(), server.mark()
    server.write_config({"CACHE_TTL_SECONDS": 8})
    server.wait_ready(log)
    ear.wait("READY", since)
    assert ear.wait("STATUS", since)["STATUS"] == "Restarting in place"
    assert ear.names(since) == ["READY"]
    assert not any("MAINPID" in said for _, said in ear.heard)


# The status tells what a look at the processes would: a keeper that is missing.
def test_status_of_keeper(start, ear):
    server = start(NOTIFY_SOCKET=ear.path)
    ear.wait("READY")
    since = ear.mark()
    os.kill(keeper(server), signal.SIGKILL)
    ear.wait("STATUS", since, ".*the keeper of the ledger is starting")
    ear.wait("STATUS", since, "Running: 2 of 2 workers serve$")


# Without a manager, or with one whose socket is not there, nothing is missing.
@pytest.mark.parametrize("path", ["/nonexistent/notify", "", "no path", "/" + "x" * 200])
def test_no_manager(start, path):
    server = start(NOTIFY_SOCKET=path, WATCHDOG_USEC=100000)
    with Client(server.vacancy_address, DEADLINE_S) as client:
        assert client.ask("GET", AVAILABLE).status == 200
