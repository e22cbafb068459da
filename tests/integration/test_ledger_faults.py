"""Ledgers that cannot be had, and disks that fail: nothing is damaged, and no answer is false.

Full disks need the right to mount, and injected faults need strace: without them those tests skip."""

import contextlib
import hashlib
import itertools
import os
import random
import re
import shutil
import sqlite3
import subprocess
import time

import pytest

from durability import UNKNOWN, Buyers, Ledger, buy, keeper, order, ready, seeded, sigkill_tree
from harness import (ALONE, DEFAULTS, LONG, MICROSERVICES, RESERVE, SELL_PATH, SLACK_S, assert_problem, eventually, run)

STOCK = 100000


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def shape(folder):
    """Every file of a folder that holds something, and what.  Left out: the lock, which names its
    last holder, and SQLite's index of its log, which is made anew."""
    return {path.name: digest(path) for path in folder.iterdir()
            if path.is_file() and path.stat().st_size > 0 and not path.name.endswith(("-lock", "-shm"))}


def made(start, ledger, sales=20):
    """A ledger with some sales, of a server that has ended properly."""
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    with Buyers(server, connections=2, each=sales // 2) as load:
        load.join()
    server.stop()
    return load


def refused_start(url, **settings):
    """The one line of a start that fails with exit code 1."""
    done = run(settings={**DEFAULTS, **ALONE, "LEDGER_URL": url, **settings})
    assert done.returncode == 1, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if '"CRITICAL"' in line]
    assert len(lines) == 1, done.stderr
    assert '"ERROR"' not in done.stderr and '"WARNING"' not in done.stderr, done.stderr
    return lines[0]


# ---------------------------------------------------------------- who may have it


# A second tree on one ledger waits some seconds, names the holder, and ends; it has changed nothing.
def test_second_tree(start, ledger):
    load = made(start, ledger)
    server = start(LEDGER_URL=ledger.url)
    before = shape(ledger.path.parent)
    begun = time.monotonic()
    line = refused_start(ledger.url)
    assert 4 <= time.monotonic() - begun <= 5 + SLACK_S
    assert re.search(rf"in use by process {server.master_pid}\b", line), line
    assert shape(ledger.path.parent) == before
    assert server.ask("POST", RESERVE, {"qty": 1}).json()["success"] is True
    server.stop()
    ledger.check(load)


# One that comes while the first is ending waits for it, and then sells on.
def test_successor_waits(start, ledger):
    first = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    assert first.ask("POST", RESERVE, {"qty": 1}).status == 200
    second = start(LEDGER_URL=ledger.url, ready=False)
    second.wait_log("listening on")
    assert not [entry for entry in second.log if "the ledger is" in entry["message"]]
    first.stop()
    second.wait_ready()
    assert second.ask("POST", RESERVE, {"qty": 1}).json()["remaining"] == STOCK - 2
    ledger.settled(2, STOCK)


# ---------------------------------------------------------------- what is no ledger of ours


def newer(ledger):
    with contextlib.closing(sqlite3.connect(ledger.path)) as db:
        db.execute("PRAGMA user_version = 1000")


def overwritten(ledger):
    with open(ledger.path, "r+b") as file:
        file.seek(4096)
        file.write(random.Random(3).randbytes(4096 * 3))


def no_database(ledger):
    ledger.path.write_bytes(b"this is a letter to my aunt\n" * 400)


def of_something_else(ledger):
    ledger.path.unlink()
    with contextlib.closing(sqlite3.connect(ledger.path)) as db:
        db.execute("CREATE TABLE aunts (name TEXT)")
        db.commit()


def emptied(ledger):
    """The database is gone and its log is not."""
    shutil.copy(ledger.path, f"{ledger.path}-wal")
    ledger.path.unlink()


# Of a newer version, damaged, or something else: one line that says so, and not one byte is changed.
@pytest.mark.parametrize("spoil, said", [
    (newer, "newer version"), (overwritten, "malformed"), (no_database, "not an SQLite database"),
    (of_something_else, "something else"), (emptied, "damaged")], ids=lambda value: getattr(value, "__name__", ""))
def test_no_ledger_of_ours(start, ledger, spoil, said):
    made(start, ledger)
    spoil(ledger)
    before = shape(ledger.path.parent)
    line = refused_start(ledger.url)
    assert said in line and str(ledger.path) in line, line
    assert shape(ledger.path.parent) == before


# A path that is a directory.
def test_directory(tmp_path):
    (tmp_path / "folder").mkdir()
    line = refused_start(f"sqlite:{tmp_path}/folder")
    assert f"{tmp_path}/folder" in line
    assert not list((tmp_path / "folder").iterdir())


@contextlib.contextmanager
def mounted(*arguments):
    """A mount that ends with the test; skips where nobody may mount."""
    folder = arguments[-1]
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        # what is killed may hold it a moment longer
        eventually(lambda: subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0,
                   "it is unmounted")


needs_mount = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount")


# A folder that cannot be written, with a ledger in it and without one.
@needs_mount
@pytest.mark.parametrize("exists", [True, False], ids=["ledger", "none"])
def test_read_only(start, ledger, exists):
    if exists:
        made(start, ledger)
    folder = ledger.path.parent
    before = shape(folder)
    with mounted("--bind", folder, folder):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        line = refused_start(ledger.url)
        assert str(ledger.path) in line and "ead-only" in line, line
        assert shape(folder) == before


# ---------------------------------------------------------------- a full disk


# A disk fills up: 503 and not ready, one line; with room again selling goes on without a restart, and
# no order is missing.
@needs_mount
def test_full_disk(start, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=4m", "tmpfs", folder):
        ledger = Ledger(folder)
        server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SALE_TIMEOUT=0.5)
        try:
            with Buyers(server, connections=4, name="before") as before:
                before.wait_orders(50)
            since = server.mark()
            _fill(folder / "filler")
            with Buyers(server, connections=4, name="full") as full:
                (line,) = server.wait_log("selling stops", since)
                assert "full" in line["message"] and str(ledger.path) in line["message"], line
                full.wait_answers(8)
            assert not full.wrong and full.refused
            assert ready(server) == 503
            with server.connect(SELL_PATH) as client:
                assert_problem(buy(client), 503, "ledger_unavailable")
            (folder / "filler").unlink()
            eventually(lambda: ready(server) == 200, "ready again")
            with Buyers(server, connections=4, name="after") as after:
                after.wait_orders(50)
            assert not after.refused and not after.wrong and not after.lost
            assert len([entry for entry in server.log if entry["level"] == "ERROR"]) == 1, server.log_text()
            ledger.settled(len(ledger.check(before, full, after)), STOCK)
        finally:
            server.stop()


def _fill(path):
    with open(path, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass


# ---------------------------------------------------------------- faults of system calls


def can_trace():
    if shutil.which("strace") is None:
        return False
    done = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return done.returncode == 0


needs_strace = pytest.mark.skipif(not can_trace(), reason="no strace here, or nobody may trace")
SYNCS = ("fdatasync", "fsync")
WRITES = ("pwrite64", "write")


@contextlib.contextmanager
def injected(pid, rule):
    """The process meets these faults as long as the block runs."""
    call = rule.partition(":")[0]
    tracer = subprocess.Popen(["strace", "-f", "-p", str(pid), "-o", "/dev/null", "-e", f"trace={call}",
                               "-e", f"inject={rule}"],
                              stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert "attached" in tracer.stderr.readline(), "strace has not attached"
        yield
    finally:
        tracer.terminate()
        tracer.communicate()


def scenarios(rng):
    """What fails, how, and the how manieth: one call, all from one on, or every second one.  In a
    long run each in turn, else some of them."""
    kinds = list(itertools.product(SYNCS + WRITES, ("EIO", "ENOSPC", "EINTR")))
    for turn in itertools.count(1):
        for call, code in rng.sample(kinds, len(kinds)):
            first, again = (turn, ["", "+"]) if LONG else (rng.randint(1, 12 * turn), [rng.choice(["", "+", "+2"])])
            for step in again:
                yield f"{call}:error={code}:when={first}{step}"


# Whatever write or sync of the keeper fails, and however often: no order is acknowledged that is not
# in the ledger after the death of everything, and no sale that was refused is in it.
@needs_strace
def test_failing_calls(start, tmp_path):
    rng = seeded()
    end = time.monotonic() + (1200 if LONG else 12 if MICROSERVICES else 25)
    faults = 0
    for number, rule in enumerate(scenarios(rng)):
        if time.monotonic() > end:
            break
        folder = tmp_path / str(number)
        folder.mkdir()
        faults += _one_fault(start, Ledger(folder), rule)
        shutil.rmtree(folder)
    print(number, "rules,", faults, "times selling stopped")
    # many rules are of calls that are seldom made, or of a checkpoint's, which stops nothing
    assert faults >= number // 10, f"of {number} rules only {faults} stopped the selling: nothing is tested"


def _one_fault(start, ledger, rule):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SALE_TIMEOUT=0.2, WORKERS=1)
    with Buyers(server, connections=4) as load:
        load.wait_orders(4)
        with injected(keeper(server), rule):
            load.wait_answers(60)
            sigkill_tree(server)
    met = bool([entry for entry in server.log if "selling stops" in entry["message"]])
    assert not load.wrong, (rule, load.wrong[:3])
    sales = ledger.check(load)
    again = start(LEDGER_URL=ledger.url)
    assert ledger.check(load) == sales, f"{rule}: the start has changed what was sold"
    ledger.settled(len(sales), STOCK)
    for order_id in list(load.orders.values())[-3:]:
        assert order(again, order_id).status == 200, rule
    again.stop()
    return met


# A fault that passes: the same keeper goes on, nothing is lost or doubled, and nobody restarts.  It
# meets several calls, because one alone may meet a checkpoint, which nobody waits for.
@needs_strace
@pytest.mark.parametrize("rule", [
    "fdatasync:error=EIO:when=3..5", "fdatasync:error=ENOSPC:when=2..7",
    "pwrite64:error=EIO:when=4..8", "pwrite64:error=ENOSPC:when=7..9"])
def test_passing_fault(start, ledger, rule):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK, SALE_TIMEOUT=0.5)
    pid = keeper(server)
    with Buyers(server, connections=4) as load:
        load.wait_orders(4)
        with injected(pid, rule):
            server.wait_log("selling stops")
            server.wait_log("selling goes on")
            load.wait_orders(20)
    assert keeper(server) == pid
    assert not load.wrong and not load.lost, (load.wrong[:3], load.lost[:3])
    sales = ledger.check(load)
    ledger.settled(len(sales), STOCK)
    told = len(load.orders)
    assert told <= len(sales) <= told + list(load.refused.values()).count(UNKNOWN)


# A call that a signal interrupts is not a fault.
@needs_strace
@pytest.mark.parametrize("call", ["pwrite64"])
def test_interrupted_call(start, ledger, call):
    server = start(LEDGER_URL=ledger.url, INITIAL_STOCK=STOCK)
    # until the keeper is dead: strace that lets go of it within such a call makes it fail, and while
    # it is traced no sanitizer can look for leaks at its end
    with injected(keeper(server), f"{call}:error=EINTR:when=1+3"):
        with Buyers(server, connections=4) as load:
            load.wait_orders(40)
        ledger.settled(len(ledger.check(load)), STOCK)
        sigkill_tree(server)
    assert (load.refused, load.lost, load.wrong) == ({}, [], [])
    assert not [entry for entry in server.log if entry["level"] in ("WARNING", "ERROR", "CRITICAL")], server.log_text()
