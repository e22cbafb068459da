"""SIGHUP rolls the workers; RELOAD=true restarts in place.  No client notices either."""

import os
import signal
import threading

import pytest

from harness import (AVAILABLE, DEADLINE_S, LONG, RESERVE, SELL_PATHS, SLOW, BadAnswer, Client, Load, binary, eventually, replace,
                     request_bytes, start_time, stays)

CACHED = "public, max-age=%d"


def cache_control(server):
    return server.ask("GET", AVAILABLE)["Cache-Control"]


def reload_and_wait(server):
    since = server.mark()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", since)
    return since


# ---------------------------------------------------------------- SIGHUP


# Every worker is a new one, the master the same, and the stock is kept.
def test_new_workers_same_stock(start):
    server = start(WORKERS=3)
    before = server.workers()
    left = server.ask("POST", RESERVE, {"qty": 7}).json()["remaining"]
    master = start_time(server.master_pid)
    reload_and_wait(server)
    after = server.wait_workers(3, without=before)
    assert sorted(after.values()) == sorted(before.values())
    assert start_time(server.master_pid) == master
    assert server.available() == left


# No client sees a reload: not one that keeps its connection, not one that opens one for each request.
@pytest.mark.parametrize("path", SELL_PATHS)
@pytest.mark.parametrize("keepalive", [True, False], ids=["keepalive", "one-shot"])
def test_reload_under_load(start, keepalive, path):
    server = start(WORKERS=2)
    stock = server.available()
    with Load(server, connections=8, keepalive=keepalive, path=path) as load:
        load.wait_answers(100)
        for _ in range(5 if LONG else 2):
            before, since = server.workers(), server.mark()
            server.send_signal(signal.SIGHUP)
            server.wait_log("reload done", since)
            server.wait_workers(2, without=before)
            load.wait_answers(100)
    assert not load.failures, load.failures[:5]
    assert stock - server.available() == load.sold
    assert len(set(load.remaining)) == load.sold


# A slow client's request that began before the reload is answered by the worker that has it.
def test_reload_waits_for_a_request(start):
    server = start(WORKERS=1, SHUTDOWN_TIMEOUT=8)
    data = request_bytes("POST", RESERVE, {"qty": 1})
    with server.connect() as client:
        assert client.ask("GET", AVAILABLE).status == 200, "the old worker has the connection"
        client.send(data[:-2])
        before = server.workers()
        server.send_signal(signal.SIGHUP)
        eventually(lambda: set(server.workers()) - set(before), "a new worker beside the old one")
        assert client.silent(0.3)
        client.send(data[-2:])
        answer = client.answer()
        assert answer.json()["success"] is True
        assert answer.closes
    server.wait_workers(1, without=before)


# An idle connection to an old worker is closed soon, so that the worker can end.
def test_reload_closes_idle_connections(start):
    server = start(WORKERS=2, SHUTDOWN_TIMEOUT=2)
    idle = [server.connect() for _ in range(6)]
    for client in idle:
        assert client.ask("GET", AVAILABLE).status == 200
    before = server.workers()
    server.send_signal(signal.SIGHUP)
    for client in idle:
        assert client.rest() == b""
        client.close()
    server.wait_workers(2, without=before)


# A live setting in the file is applied.
def test_live_setting(start):
    server = start(config={"CACHE_TTL_SECONDS": 7, "SERVICE_NAME": "one"})
    assert cache_control(server) == CACHED % 7
    server.write_config({"CACHE_TTL_SECONDS": 8, "SERVICE_NAME": "two"})
    assert cache_control(server) == CACHED % 7, "nothing changes before the signal"
    reload_and_wait(server)
    assert cache_control(server) == CACHED % 8
    assert server.ask("GET", "/").json()["service"] == "two"


# A setting that vanishes from the file has its default again.
def test_live_setting_removed(start):
    server = start(config={"CACHE_TTL_SECONDS": 7})
    server.write_config({})
    reload_and_wait(server)
    assert cache_control(server) == CACHED % 1


# A setting that needs a restart is named in the log and stays as it was, and the others are applied.
@pytest.mark.parametrize("name, old, new", [("WORKERS", 2, 3), ("INITIAL_STOCK", 50, 60), ("LISTEN_BACKLOG", 100, 200)])
def test_restart_setting(start, name, old, new):
    server = start(config={name: old, "CACHE_TTL_SECONDS": 7})
    stock = server.available()
    server.write_config({name: new, "CACHE_TTL_SECONDS": 8})
    since = reload_and_wait(server)
    server.wait_log(rf"\b{name}\b", since)
    assert cache_control(server) == CACHED % 8
    assert server.available() == stock
    assert len(server.wait_workers(2)) == 2


# A file that is wrong changes nothing at all, is told of in one line, and can be put right.
@pytest.mark.parametrize("broken", [
    "CACHE_TTL_SECONDS=never\n", "CACHE_TTL_SECONDS=9\nMAX_BODY_BYTES=1\n", "CACHE_TTL_SECONDS=9\nrubbish\n", None],
    ids=["bad value", "good and bad", "no assignment", "no file"])
def test_invalid_file(start, broken):
    server = start(config={"CACHE_TTL_SECONDS": 7})
    before, since = server.workers(), server.mark()
    if broken is None:
        server.config_path.unlink()
    else:
        server.write_config(broken)
    server.send_signal(signal.SIGHUP)
    complaints = server.wait_log(lambda entry: entry["level"] in ("ERROR", "WARNING", "CRITICAL"), since)
    assert len(complaints) == 1
    assert cache_control(server) == CACHED % 7
    stays(lambda: server.workers() == before, "the workers are the old ones", 0.5)
    assert len([e for e in server.log if e["level"] in ("ERROR", "WARNING", "CRITICAL")]) == 1
    server.write_config({"CACHE_TTL_SECONDS": 8})
    reload_and_wait(server)
    assert cache_control(server) == CACHED % 8


# Signals in quick succession end in one consistent tree, with the last file's settings.
def test_many_reloads(start):
    server = start(WORKERS=2, config={"CACHE_TTL_SECONDS": 100})
    with Load(server, connections=4, keepalive=False) as load:
        for number in range(10):
            server.write_config({"CACHE_TTL_SECONDS": 101 + number})
            server.send_signal(signal.SIGHUP)
        eventually(lambda: cache_control(server) == CACHED % 110, "the last settings")
        load.wait_answers(50)
        eventually(lambda: len(server.workers()) == 2, "two workers")
    assert not load.failures, load.failures[:3]


# SIGTERM in the middle of a reload is obeyed.
def test_stop_during_reload(start):
    server = start(WORKERS=4)
    with Load(server, connections=4, tolerant=True) as load:
        load.wait_answers(20)
        server.send_signal(signal.SIGHUP)
        server.send_signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        load.finish()
    server.assert_gone()
    assert not load.wrong and not load.unanswered, load.failures[:3]


# A worker that is killed in the middle of a reload does not stop it.
def test_kill_during_reload(start):
    server = start(WORKERS=3)
    before, since = server.workers(), server.mark()
    server.send_signal(signal.SIGHUP)
    for victim in before:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass
    server.wait_log("reload done", since)
    server.wait_workers(3, without=before)
    assert server.ask("POST", RESERVE, {"qty": 1}).status == 200


# ---------------------------------------------------------------- RELOAD=true


class Knocking:
    """Connects again and again, and notes each time that it was not let in or not answered."""

    def __init__(self, server):
        self.address = server.vacancy_address
        self.refused, self.unanswered, self.answered = [], [], 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(DEADLINE_S)

    def _run(self):
        while not self._stop.is_set():
            try:
                client = Client(self.address)
            except OSError as error:
                self.refused.append(repr(error))
                continue
            try:
                client.ask("GET", AVAILABLE)
                self.answered += 1
            except (OSError, BadAnswer) as error:
                self.unanswered.append(repr(error))
            finally:
                client.close()
            self._stop.wait(0.002)


def watching(start, config, **settings):
    return start(config=config, RELOAD="true", ENVIRONMENT=settings.pop("ENVIRONMENT", "development"), **settings)


# A changed file restarts in place: the same master and listener, new workers, every new setting, and
# the stock that there was: INITIAL_STOCK is for an event that is not there yet.
def test_watched_file(start):
    server = watching(start, {"CACHE_TTL_SECONDS": 7, "INITIAL_STOCK": 50, "WORKERS": 2})
    master, before, since = start_time(server.master_pid), server.workers(), server.mark()
    url = server.vacancy_url
    with Knocking(server) as client:
        eventually(lambda: client.answered > 5, "answers")
        server.write_config({"CACHE_TTL_SECONDS": 8, "INITIAL_STOCK": 60, "WORKERS": 3})
        server.wait_ready(since)
        server.wait_workers(3, without=before)
        done = client.answered
        eventually(lambda: client.answered > done + 5, "answers after the restart")
    assert start_time(server.master_pid) == master
    assert not client.refused, client.refused[:3]
    assert not client.unanswered, client.unanswered[:3]
    assert (cache_control(server), server.available()) == (CACHED % 8, 50)
    assert server.vacancy_url == url


# A file that is written to, not replaced, is seen as well.
def test_watched_file_in_place(start):
    server = watching(start, {"CACHE_TTL_SECONDS": 7})
    since = server.mark()
    with open(server.config_path, "w", encoding="ascii") as file:
        file.write("CACHE_TTL_SECONDS=8\n")
    server.wait_ready(since)
    assert cache_control(server) == CACHED % 8


# It is no accident of the first time: a restarted server watches on.
def test_watched_file_again(start):
    server = watching(start, {"CACHE_TTL_SECONDS": 7})
    for ttl in (8, 9, 10):
        since = server.mark()
        server.write_config({"CACHE_TTL_SECONDS": ttl})
        server.wait_ready(since)
        assert cache_control(server) == CACHED % ttl


# A broken file keeps the old server running, says so in one line, and a mended one is taken.
def test_watched_file_broken(start):
    server = watching(start, {"CACHE_TTL_SECONDS": 7})
    before, since = server.workers(), server.mark()
    server.write_config("CACHE_TTL_SECONDS=never\n")
    lines = server.wait_log(lambda entry: entry["level"] in ("ERROR", "WARNING", "CRITICAL"), since)
    assert len(lines) == 1
    stays(lambda: server.workers() == before, "the old workers", 0.7)
    assert len([e for e in server.log if e["level"] in ("ERROR", "WARNING", "CRITICAL")]) == 1
    assert cache_control(server) == CACHED % 7
    since = server.mark()
    server.write_config({"CACHE_TTL_SECONDS": 8})
    server.wait_ready(since)
    assert cache_control(server) == CACHED % 8


# A new binary is taken in place, too.
def test_watched_binary(start, copy):
    server = watching(start, {"CACHE_TTL_SECONDS": 7}, program=str(copy))
    master, before, since = start_time(server.master_pid), server.workers(), server.mark()
    with Knocking(server) as client:
        eventually(lambda: client.answered > 5, "answers")
        replace(copy, binary())
        server.wait_ready(since)
        server.wait_workers(2, without=before)
        done = client.answered
        eventually(lambda: client.answered > done + 5, "answers after the restart")
    assert start_time(server.master_pid) == master
    assert not client.refused, client.refused[:3]
    assert not client.unanswered, client.unanswered[:3]


# A new binary that cannot run keeps the old one running, and says so in one line.
@pytest.mark.parametrize("content", [b"no program at all\n", b"", b"\x7fELF" + b"\0" * 200, b"#!/bin/false\n"],
                         ids=["text", "empty", "cut ELF", "fails"])
def test_watched_binary_broken(start, copy, content):
    server = watching(start, {"CACHE_TTL_SECONDS": 7}, program=str(copy))
    before, since = server.workers(), server.mark()
    replace(copy, content)
    lines = server.wait_log(lambda entry: entry["level"] in ("ERROR", "WARNING", "CRITICAL"), since)
    assert len(lines) == 1
    stays(lambda: server.workers() == before, "the old workers", 0.7)
    assert len([e for e in server.log if e["level"] in ("ERROR", "WARNING", "CRITICAL")]) == 1
    assert server.ask("POST", RESERVE, {"qty": 1}).status == 200
    since = server.mark()
    replace(copy, binary())
    server.wait_ready(since)
    server.wait_workers(2, without=before)


# Only a developer's machine watches: elsewhere a file under edit must not reach the running server.
@pytest.mark.parametrize("settings", [
    {"RELOAD": "true", "ENVIRONMENT": "production"}, {"RELOAD": "false", "ENVIRONMENT": "development"},
    {"RELOAD": "true", "ENVIRONMENT": "Development-2"}], ids=["production", "off", "another name"])
def test_not_watched(start, copy, settings):
    server = start(config={"CACHE_TTL_SECONDS": 7}, program=str(copy), **settings)
    before = server.workers()
    server.write_config({"CACHE_TTL_SECONDS": 8})
    replace(copy, binary())
    stays(lambda: server.workers() == before, "the same workers", 2.5 * SLOW)
    assert cache_control(server) == CACHED % 7
