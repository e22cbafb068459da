"""ticketctl against a running server, a stopped one, a hung one, and damaged ledgers."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import uuid

import pytest

import harness
from harness import LONG, PURCHASE, SLOW, Load, eventually, run

# sysexits.h
EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_TEMPFAIL, EX_CONFIG = 64, 65, 66, 69, 75, 78
ORDERS = "/api/v1/orders/"


def ticketctl():
    path = os.environ.get("TICKETCTL")
    assert path, "set TICKETCTL to the path of the ticketctl binary"
    return os.path.abspath(path)


def ctl(directory, *arguments, **settings):
    """Runs it where the server ran, so that it finds what the server found."""
    return run(*arguments, settings=settings, directory=directory, program=ticketctl())


def rows(result):
    """What --json wrote: one object a line, and nothing else."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def accept(directory, *arguments, **settings):
    result = ctl(directory, *arguments, "--json", **settings)
    assert result.returncode == 0, (result.returncode, result.stdout, result.stderr)
    assert result.stderr == ""
    return rows(result)


def refuse(status, directory, *arguments, **settings):
    """It ends with that status and one line of its own; returns the line."""
    result = ctl(directory, *arguments, **settings)
    assert result.returncode == status, (result.returncode, result.stdout, result.stderr)
    assert result.stderr.startswith("ticketctl: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def buy(server, quantity=1, key=None):
    headers = {"Idempotency-Key": f'"{key}"'} if key else {}
    answer = server.ask("POST", PURCHASE, {"qty": quantity}, headers)
    assert answer.status == 200 and answer.json()["success"], answer
    return answer.json()["order_id"]


@pytest.fixture(scope="module")
def sold(tmp_path_factory):
    """The folder of a stopped server: 100 put in, three keyed sales (2, 1, 3), 5 added."""
    folder = tmp_path_factory.mktemp("sold")
    server = harness.Server(INITIAL_STOCK=100)
    try:
        for key, quantity in (("a", 2), ("b", 1), ("c", 3)):
            buy(server, quantity, key)
        accept(server.directory, "stock", "add", "default", 5)
        server.send_signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        shutil.copytree(server.directory / "var", folder / "var",
                        ignore=shutil.ignore_patterns("*.control"))
    finally:
        server.discard()
    return folder


@pytest.fixture
def offline(sold, tmp_path):
    """A copy of it that may be changed."""
    shutil.copytree(sold / "var", tmp_path / "var")
    return tmp_path


def ledger(directory):
    return directory / "var" / "ledger.db"


def change(directory, sql):
    with sqlite3.connect(ledger(directory)) as database:
        assert database.execute(sql).rowcount != 0, "the damage changed nothing"
    database.close()


# ---------------------------------------------------------------- a running server


# Every command tells the truth about a server that sells.
def test_running(start):
    server = start(INITIAL_STOCK=100)
    first, second = buy(server, 2), buy(server, 3)
    there = server.directory

    [status] = accept(there, "status")
    assert status["master_pid"] == server.master_pid and status["keeper"] == {"state": "running", "lag": 0}
    [stock] = accept(there, "stock")
    assert stock == {"event": "default", "capacity": 100, "available": 95, "sold": 5, "owed": 0,
                     "sequence": 3, "lag": 0}
    [added] = accept(there, "stock", "add", "default", 7)
    assert added == {"event": "default", "added": 7, "available": 102}
    assert server.available() == 102

    orders = accept(there, "orders")
    assert [order["order_id"] for order in orders] == [second, first]
    shown = server.ask("GET", ORDERS + first).json()
    assert {key: orders[1][key] for key in shown} == shown
    event, summary = accept(there, "audit")
    assert (event["entries"], event["capacity"], event["available"], event["sold"]) == (4, 107, 102, 5)
    assert summary == {"type": "summary", "events": 1, "entries": 4, "server": True,
                       "differences": 0, "agrees": True}
    for command in ("status", "stock", "orders", "audit"):
        result = ctl(there, command)
        assert result.returncode == 0 and result.stdout and not result.stderr, result


# The settings lead to the ledger and the socket from any directory, as they lead ticketd.
def test_found_by_settings(start, tmp_path):
    server = start(CONTROL_SOCKET="elsewhere.sock", INITIAL_STOCK=10)
    url, socket = f"sqlite:{ledger(server.directory)}", str(server.directory / "elsewhere.sock")
    assert accept(tmp_path, "audit", LEDGER_URL=url, CONTROL_SOCKET=socket)[-1]["server"]
    assert accept(tmp_path, "audit", "--ledger-url", url, "--control-socket", socket)[-1]["server"]
    (tmp_path / ".env").write_text(f"LEDGER_URL={url}\nCONTROL_SOCKET={socket}\n")
    assert accept(tmp_path, "audit")[-1]["server"]
    (tmp_path / "other.env").write_text(f"LEDGER_URL={url}\n")
    assert not accept(tmp_path, "audit", "--config", "other.env")[-1]["server"]
    assert "LEDGER_URL" in refuse(EX_CONFIG, tmp_path, "audit", "--ledger-url", "oracle:x")


# Under load every audit agrees: it compares one published moment, not two different ones.
def test_audit_under_load(start):
    server = start(INITIAL_STOCK=1000000)
    with Load(server, connections=8, path=PURCHASE) as load:
        load.wait_answers(200)
        for turn in range(30 if LONG else 8):
            if turn % 2:
                accept(server.directory, "stock", "add", "default", 1)
            summary = accept(server.directory, "audit")[-1]
            assert summary["server"] and summary["agrees"]
            load.wait_answers(20)
    assert not load.failures
    [stock] = eventually(lambda: [row for row in accept(server.directory, "stock") if row["lag"] == 0],
                         "everything is in the ledger")
    assert stock["sold"] == load.sold and stock["capacity"] == stock["available"] + stock["sold"]


# A running server whose stock is not what its ledger says is found out.
def test_audit_compares_the_server(start):
    server = start(INITIAL_STOCK=100)
    buy(server, 2)
    change(server.directory, "UPDATE entries SET available = 97, quantity = 3 WHERE id = 1")
    change(server.directory, "UPDATE events SET available = 97, sold = 3")
    result = ctl(server.directory, "audit", "--json")
    assert result.returncode == 1
    assert [row["what"] for row in rows(result) if row["type"] == "difference"] == [
        "server's published available", "server's available"]


# reload --wait ends when the reload has, and tells whether it was done or refused.
def test_reload(start):
    server = start(config={"CACHE_TTL_SECONDS": 7})
    before = server.workers()
    assert accept(server.directory, "reload", "--wait") == [{"reload": 1, "state": "done"}]
    # those that were replaced accept nothing more, and are about to end
    assert len(set(server.workers()) - set(before)) == len(before)
    eventually(lambda: not set(before) & set(server.workers()), "the old workers to end")
    server.write_config({"CACHE_TTL_SECONDS": "soon"})
    assert "log" in refuse(1, server.directory, "reload", "--wait")
    assert accept(server.directory, "status")[0]["reload"] == {"asked": 2, "done": 1, "refused": 1}
    server.write_config({"CACHE_TTL_SECONDS": 8})
    assert accept(server.directory, "reload")[0]["state"] == "asked for"


# What the server refuses changes nothing and says why.
def test_refused_stock(start):
    server = start(INITIAL_STOCK=100)
    assert "no event" in refuse(1, server.directory, "stock", "add", "concert", 1)
    assert "none were added" in refuse(1, server.directory, "stock", "add", "default", 2147483647)
    assert refuse(1, server.directory, "stock", "concert")
    assert server.available() == 100


# A server that hangs is told apart from none: an error within the time-out, and nothing is added.
def test_hung(start):
    server = start(INITIAL_STOCK=100)
    members = harness.session_members(server.master_pid)
    for pid in members:
        os.kill(pid, signal.SIGSTOP)
    try:
        for command in (["status"], ["audit"], ["stock"], ["stock", "add", "default", "5"],
                        ["reload", "--wait"]):
            line = refuse(EX_TEMPFAIL, server.directory, *command, "--timeout", "0.3")
            assert "did not answer within 0.300 s" in line
    finally:
        for pid in members:
            os.kill(pid, signal.SIGCONT)
    assert server.available() == 100


# ---------------------------------------------------------------- no server


# Without a server the ledger alone is told, and what only a server can do is refused.
def test_stopped(sold):
    [stock] = accept(sold, "stock")
    assert stock == {"event": "default", "capacity": 105, "available": 99, "sold": 6, "owed": 0, "sequence": 5}
    assert [order["qty"] for order in accept(sold, "orders")] == [3, 1, 2]
    assert accept(sold, "audit")[-1] == {"type": "summary", "events": 1, "entries": 5, "server": False,
                                         "differences": 0, "agrees": True}
    for command in ("status", "reload"):
        assert "no server answers at" in refuse(EX_UNAVAILABLE, sold, command)


# Orders are chosen by event, number, time and id.
def test_orders(sold):
    newest, middle, oldest = accept(sold, "orders", "default")
    assert accept(sold, "orders", "--limit", 1) == [newest]
    assert accept(sold, "orders", "--all") == [oldest, middle, newest]
    assert accept(sold, "orders", "--since", middle["created_at"]) == [newest, middle]
    assert accept(sold, "orders", "--all", "--since", middle["created_at"]) == [middle, newest]
    assert accept(sold, "orders", "--since", "1h") == [newest, middle, oldest]
    assert accept(sold, "orders", "--since", "2999-01-01") == []
    assert accept(sold, "orders", middle["order_id"]) == [middle]
    assert accept(sold, "orders", middle["order_id"].upper()) == [middle]
    guessed = middle["order_id"][:-1] + ("0" if middle["order_id"][-1] != "0" else "1")
    assert guessed in refuse(1, sold, "orders", guessed)
    assert "no event" in refuse(1, sold, "orders", "concert")
    assert "no event" in refuse(1, sold, "orders", str(uuid.uuid4())[:-2])


# More orders than one look back reads are all there, in order, whichever way they are read.
def test_many_orders(offline):
    last, count = 5, 3000
    with sqlite3.connect(ledger(offline)) as database:
        time_us, = database.execute("SELECT max(time_us) FROM entries").fetchone()
        database.executemany(
            "INSERT INTO entries (id, kind, quantity, available, time_us, token) VALUES (?, ?, 0, 99, ?, 7)",
            ((last + i, 1 if i % 3 else 3, time_us + i) for i in range(count)))
        database.execute("UPDATE events SET entries = ?", (last + count,))
    database.close()
    sales = [last + i for i in range(count) if i % 3]
    newest = [order["sequence"] for order in accept(offline, "orders", "--limit", 1500)]
    assert newest == sales[::-1][:1500]
    assert [order["sequence"] for order in accept(offline, "orders", "--all")] == [1, 2, 3] + sales


# Tickets added without a server are an entry like any other: audited, served, and sold.
def test_stock_add_offline(offline):
    assert accept(offline, "stock", "add", "default", 11) == [{"event": "default", "added": 11, "available": 110}]
    assert accept(offline, "audit")[-1]["agrees"]
    assert "no event" in refuse(1, offline, "stock", "add", "concert", 1)
    assert "none were added" in refuse(1, offline, "stock", "add", "default", 2147483647)
    for wrong in ("0", "-1", "x", "1.5", "2147483648", ""):
        result = ctl(offline, "stock", "add", "--", "default", wrong)
        assert result.returncode == EX_USAGE, result
    server = harness.Server(LEDGER_URL=f"sqlite:{ledger(offline)}")
    try:
        assert server.available() == 110
        assert accept(offline, "audit")[-1]["server"]
        server.stop()
    finally:
        server.discard()


# Adding tickets without a server does not age the keys by the time that nobody watched.
def test_stock_add_keeps_keys(offline):
    long_ago = 3 * 86400 * 1000000
    change(offline, f"UPDATE entries SET time_us = time_us - {long_ago}")
    accept(offline, "stock", "add", "default", 1)
    with sqlite3.connect(ledger(offline)) as database:
        (step,), = database.execute("SELECT step_us FROM clock_steps ORDER BY time_us DESC LIMIT 1").fetchall()
    database.close()
    assert step >= long_ago
    server = harness.Server(LEDGER_URL=f"sqlite:{ledger(offline)}")
    try:
        answer = server.ask("POST", PURCHASE, {"qty": 2}, {"Idempotency-Key": '"a"'})
        assert answer["Idempotent-Replayed"] == "true", answer
    finally:
        server.discard()


# A ledger in use by a server that listens elsewhere is left alone.
def test_ledger_in_use(start):
    server = start(INITIAL_STOCK=100, CONTROL_SOCKET="elsewhere.sock")
    line = refuse(EX_TEMPFAIL, server.directory, "stock", "add", "default", 5)
    assert "in use by" in line and "none were added" in line
    assert server.available() == 100


# Where there is no ledger, none is made.
def test_no_ledger(tmp_path):
    for command in (["audit"], ["orders"], ["stock"], ["stock", "add", "default", "5"]):
        assert "ledger.db" in refuse(EX_NOINPUT, tmp_path, *command)
    assert not list(tmp_path.iterdir())
    (tmp_path / "var").mkdir()
    ledger(tmp_path).write_text("this is no database, whatever its name says, and stays as it is\n" * 100)
    refuse(EX_DATAERR, tmp_path, "audit")


# With memory: the server is the only one to ask, and there is nothing to audit.
def test_memory(start):
    if run("--check-config", settings={"DEPLOYMENT_MODE": "monolith", "LEDGER_URL": "memory:"}).returncode != 0:
        pytest.skip("this ticketd has no memory:")
    server = start(INITIAL_STOCK=10, LEDGER_URL="memory:", CONTROL_SOCKET="control.sock")
    known = {"LEDGER_URL": "memory:", "CONTROL_SOCKET": "control.sock"}
    server.ask("POST", PURCHASE, {"qty": 1})
    [stock] = accept(server.directory, "stock", **known)
    assert (stock["capacity"], stock["available"]) == (10, 9) and "owed" not in stock
    accept(server.directory, "stock", "add", "default", 1, **known)
    assert server.available() == 10
    for command in ("audit", "orders"):
        assert "memory:" in refuse(EX_UNAVAILABLE, server.directory, command, **known)


# ---------------------------------------------------------------- damage

DAMAGE = {
    "a missing entry": ("DELETE FROM entries WHERE id = 2", 3, "sequence"),
    "a missing last entry": ("DELETE FROM entries WHERE id = 4", None, "entries in the table of events"),
    "a wrong balance": ("UPDATE entries SET available = available - 1 WHERE id = 2", 2, "available"),
    "a wrong quantity": ("UPDATE entries SET quantity = 3 WHERE id = 1", 1, "available"),
    "a wrong total": ("UPDATE events SET available = available + 1, sold = sold - 1", None,
                      "available in the table of events"),
    "a wrong count": ("UPDATE events SET entries = entries - 1", 4, "entry"),
    "a key sold twice": ("UPDATE entries SET key = (SELECT key FROM entries WHERE id = 1) WHERE id = 3", 3, "key"),
    "a wrong origin": ("UPDATE entries SET kind = 2, token = NULL, origin = 1 WHERE id = 3", 3, "origin"),
    "time that goes back": ("UPDATE entries SET time_us = 5 WHERE id = 3", 3, "time_us"),
    "a wrong kind": ("UPDATE entries SET kind = 4 WHERE id = 3", 3, "quantity"),
    "a missing event": ("DELETE FROM events", 0, "event"),
}


# Each damage is found, in its place, with an exit status that scripts see.
@pytest.mark.parametrize("name", DAMAGE)
def test_damage(offline, name):
    sql, sequence, what = DAMAGE[name]
    assert accept(offline, "audit")[-1]["agrees"]
    change(offline, sql)
    result = ctl(offline, "audit", "--json")
    assert result.returncode == 1 and not result.stderr, result
    found = [row for row in rows(result) if row["type"] == "difference"]
    assert (sequence, what) in [(row.get("sequence"), row["what"]) for row in found], found
    summary = rows(result)[-1]
    assert not summary["agrees"] and summary["differences"] == len(found)
    text = ctl(offline, "audit")
    assert text.returncode == 1 and f"{what} is " in text.stdout and not text.stderr


# ---------------------------------------------------------------- itself


# Help, version and mistakes of the command line need neither a ledger nor a server.
def test_itself(tmp_path):
    assert ctl(tmp_path, "--version").stdout.startswith("ticketctl ")
    assert "audit" in ctl(tmp_path, "--help").stdout
    assert "--wait" in ctl(tmp_path, "reload", "--help").stdout
    assert ctl(tmp_path).returncode == EX_USAGE
    assert "sell" in refuse(EX_USAGE, tmp_path, "sell")
    assert not list(tmp_path.iterdir())


# An answer that cannot be written is an error, not a success.
def test_full_output(sold):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([ticketctl(), "orders"], cwd=sold, stdout=full, stderr=subprocess.PIPE,
                                env=harness.child_environment({}), text=True, timeout=20 * SLOW, check=False)
    assert result.returncode == 74 and "cannot write" in result.stderr
