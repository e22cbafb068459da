"""Deaths, signals and starts that once left a place empty, ended too much, or ended nothing."""

import os
import re
import signal

import pytest

from harness import AVAILABLE, RESERVE, STOCK_POOL, Client, alive, eventually, request_bytes, title
from surroundings import preload, wrapper

HALF = request_bytes("POST", RESERVE, {"qty": 1})


def cache_control(server):
    return server.ask("GET", AVAILABLE)["Cache-Control"]


# ---------------------------------------------------------------- SIGCHLD


# A parent that ignores SIGCHLD hands that on: deaths must be seen all the same.
def test_sigchld_inherited_as_ignored(start, tmp_path):
    server = start(WORKERS=2, program=wrapper(tmp_path, "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"))
    before = server.workers()
    victim = sorted(before)[0]
    os.kill(victim, signal.SIGKILL)
    server.wait_log(rf"\b{victim}\b.*killed by signal 9")
    after = server.wait_workers(2, without=[victim])
    assert sorted(after.values()) == sorted(before.values())
    server.stop()


# The same for blocked signals, which are inherited as well.
def test_signals_inherited_as_blocked(start, tmp_path):
    server = start(WORKERS=2, program=wrapper(
        tmp_path, "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP])"))
    victim = sorted(server.workers())[0]
    os.kill(victim, signal.SIGKILL)
    server.wait_workers(2, without=[victim])
    server.stop()


# ---------------------------------------------------------------- SIGTERM to a worker


# A worker that somebody tells to end is replaced at once, not when its last client has gone.
def test_worker_told_to_end_is_replaced_at_once(start):
    server = start(WORKERS=1, SHUTDOWN_TIMEOUT=600, REQUEST_TIMEOUT=600)
    (old,) = server.workers()
    with server.connect() as slow:
        assert slow.ask("GET", AVAILABLE).status == 200
        slow.send(HALF[:-1])
        assert slow.silent(0.1)
        os.kill(old, signal.SIGTERM)
        (new,) = eventually(lambda: set(server.workers()) - {old}, "a new worker")
        assert title(new) == f"ticketd: worker 0 ({STOCK_POOL})"
        assert server.ask("POST", RESERVE, {"qty": 1}).status == 200
        assert alive(old), "it drains"
        slow.send(HALF[-1:])
        answer = slow.answer()
        assert answer.json()["success"] is True and answer.closes
    server.wait_workers(1, without=[old])
    assert list(server.workers()) == [new]
    assert not [entry for entry in server.log if entry["level"] not in ("INFO", "DEBUG")], server.log_text()


# ---------------------------------------------------------------- SIGTERM twice


def accepts(address):
    try:
        Client(address).close()
        return True
    except OSError:
        return False


# The wish that comes to the process and to its group, as timeout(1) and systemd send it, is one wish.
@pytest.mark.parametrize("first, second", [
    (signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)],
    ids=["TERM TERM", "TERM INT", "INT TERM"])
def test_stop_told_twice_at_once(start, first, second):
    server = start(WORKERS=2, SHUTDOWN_TIMEOUT=600, REQUEST_TIMEOUT=600)
    with server.connect() as client:
        assert client.ask("GET", AVAILABLE).status == 200
        client.send(HALF[:-1])
        assert client.silent(0.1)
        os.kill(server.master_pid, first)
        os.killpg(server.master_pid, second)
        eventually(lambda: not accepts(server.vacancy_address), "the listener is closed")
        client.send(HALF[-1:])
        assert client.answer().json()["success"] is True
    assert server.wait_exit() == 0
    assert not [entry for entry in server.log if entry["level"] not in ("INFO", "DEBUG")], server.log_text()


# One that comes later is impatience, and is obeyed.
def test_stop_told_again_later(start):
    server = start(WORKERS=2, SHUTDOWN_TIMEOUT=600, REQUEST_TIMEOUT=600)
    with server.connect() as client:
        assert client.ask("GET", AVAILABLE).status == 200
        client.send(HALF[:-1])
        server.send_signal(signal.SIGTERM)
        server.wait_log("stopping")
        assert client.silent(0.7)
        server.send_signal(signal.SIGTERM)
        server.wait_log("not waiting any longer")
        assert client.rest() == b""
        assert server.wait_exit() == 0
    server.assert_gone()


# ---------------------------------------------------------------- SHUTDOWN_TIMEOUT


# A worker whose clients are slow ends them and itself in time, and need not be killed.  Several
# servers, so that the drain meets the sweep of the connections at several of its phases.
@pytest.mark.parametrize("timeout_s", [1, 1.7])
def test_slow_clients_do_not_get_a_worker_killed(start, timeout_s):
    servers = [start(WORKERS=4, SHUTDOWN_TIMEOUT=timeout_s, REQUEST_TIMEOUT=600, DRAIN_IDLE_TIMEOUT=timeout_s)
               for _ in range(4)]
    held = []
    for server in servers:
        for _ in range(8):
            client = server.connect()
            assert client.ask("GET", AVAILABLE).status == 200
            client.send(HALF[:-1])
            held.append(client)
        deaf = Client(server.vacancy_address, receive_buffer=4096)
        deaf.send(request_bytes("GET", "/") * 2000)
        held.append(deaf)
    assert held[0].silent(0.3)
    for server in servers:
        server.send_signal(signal.SIGTERM)
    for server in servers:
        assert server.wait_exit() == 0
        assert not [e for e in server.log if re.search("kill", e["message"])], server.log_text()
        server.stop()
    for client in held:
        client.close()


# ---------------------------------------------------------------- a reload that fails


# A reload that was asked for during another one, whose first worker died, is not forgotten.
def test_reload_after_a_failed_one(start, tmp_path):
    gate = tmp_path / "gate"
    server = start(WORKERS=2, config={"CACHE_TTL_SECONDS": 7}, **preload(tmp_path, "start", TEST_START_HANGS=gate))
    before = server.workers()
    gate.touch()
    server.send_signal(signal.SIGHUP)
    (incoming,) = eventually(lambda: set(server.workers()) - set(before), "the first worker of the reload")
    server.write_config({"CACHE_TTL_SECONDS": 8})
    since = server.mark()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reloading", since)
    os.kill(incoming, signal.SIGKILL)
    server.wait_log("reload given up", since)
    gate.unlink()
    server.wait_log("reload done", since)
    server.wait_workers(2, without=[*before, incoming])
    assert cache_control(server).endswith("max-age=8")


# Without another one, the old workers go on, and a later one rolls.
def test_reload_given_up(start, tmp_path):
    gate = tmp_path / "gate"
    server = start(WORKERS=2, config={"CACHE_TTL_SECONDS": 7}, **preload(tmp_path, "start", TEST_START_DIES=gate))
    before, since = server.workers(), server.mark()
    gate.touch()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload given up", since)
    assert server.wait_workers(2) == before
    gate.unlink()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", since)
    server.wait_workers(2, without=before)


# ---------------------------------------------------------------- a start that fails


def assert_gives_up(server):
    assert server.wait_exit() == 1, server.log_text()
    lines = [entry["message"] for entry in server.log if entry["level"] == "CRITICAL"]
    assert len(lines) == 1 and "giving up" in lines[0], server.log_text()
    server.assert_gone()


# Workers that die before they ever serve: one clear line and exit code 1, not a tree that tries for ever.
def test_workers_die_at_start(start, tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    server = start(WORKERS=2, ready=False, SHUTDOWN_TIMEOUT=1, **preload(tmp_path, "start", TEST_START_DIES=gate))
    assert_gives_up(server)


# Workers that hang before they ever serve count as well.  The master's clock runs fast, because each
# of them has ten seconds.
def test_workers_hang_at_start(start, tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    server = start(WORKERS=2, ready=False, SHUTDOWN_TIMEOUT=1,
                   **preload(tmp_path, "start", "clock", TEST_START_HANGS=gate, TEST_MONOTONIC_RATE=20))
    assert_gives_up(server)
    assert [entry for entry in server.log if "did not start in time" in entry.get("message", "")]


# One that comes up in the end does not count: what has served once is kept alive.
def test_workers_that_served_once_are_kept(start, tmp_path):
    gate = tmp_path / "gate"
    server = start(WORKERS=1, **preload(tmp_path, "start", TEST_START_DIES=gate))
    gate.touch()
    since = server.mark()
    os.kill(*server.workers(), signal.SIGKILL)
    server.wait_log("exited with status 3", since, count=6)
    gate.unlink()
    with Client(server.vacancy_address) as client:
        assert client.ask("POST", RESERVE, {"qty": 1}).status == 200
