"""What README tells operators to do, and to read: its own lines are run, while clients buy."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from harness import AVAILABLE, DEADLINE_S, PURCHASE, Client, eventually
from unit import buyers

README = Path(__file__).resolve().parents[2] / "README.md"
STATE = "/var/lib/ticketd"
BACKUP = "/var/backups/ticketd.db"
# As many as make the ledger too large to be copied between two of its transactions.
OLD_SALES = 500_000
# For the commands of one example, which wait for clients and locks.
LIMIT_S = DEADLINE_S * 3
ERROR, CRITICAL = "3", "2"


def commands(title):
    """The lines of the first example after the paragraph that begins with **title, or of that row of a table."""
    found = re.search(rf"^\*\*{title}\b.*?^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL) or \
        re.search(rf"^\| {title} \| `(.*?)`", README.read_text(), re.MULTILINE)
    assert found, f"README has no example of how to {title}"
    return found[1]


def do(unit, title):
    return unit.manager.run("bash", "-euc", commands(title).replace("monolith", unit.pool), timeout=LIMIT_S).stdout


def audit(unit, ledger):
    return unit.manager.run("ticketctl", "--ledger-url", f"sqlite:{ledger}", "audit").stdout


@pytest.fixture
def places(units):
    """The units, and nothing where README's lines put files."""
    yield units
    root = units["monolith"].manager.root
    for unit in units.values():
        unit.stop()
    for path in (root / BACKUP.lstrip("/"), *(root / STATE.lstrip("/")).glob("before.db*")):
        path.unlink(missing_ok=True)
    shutil.rmtree(root / "srv/tickets", ignore_errors=True)


@pytest.fixture
def seller(places, tmp_path):
    """The monolith, which has sold a lot already."""
    unit = places["monolith"]
    state = unit.manager.root / STATE.lstrip("/")
    # not where it is wanted: SQLite looks for the true names of folders, and they are another root's
    filled = tmp_path / "ledger.db"
    subprocess.run([Path(os.environ["TICKETD_BUILD"]) / "tests/bench/fill-ledger", filled, str(OLD_SALES), "60"],
                   check=True)
    state.mkdir(exist_ok=True)
    shutil.copyfile(filled, state / "ledger.db")
    unit.manager.run("chown", "-R", "ticketd:ticketd", STATE)
    unit.start()
    return unit


# ---------------------------------------------------------------- what to do


# A backup that is made while tickets are sold ends, is whole, and has every order that was confirmed before it began;
# put back under load it is what goes on, and no client is refused.
def test_back_up_and_restore(seller):
    with buyers(seller) as load:
        load.wait_answers(100)
        saved = load.orders[-1]
        assert re.search("all agree$", do(seller, "Back up"), re.MULTILINE)
        assert os.stat(seller.manager.root / BACKUP.lstrip("/")).st_mode & 0o077 == 0
        load.wait_answers(100)
        lost = load.orders[-1]
        do(seller, "Restore")
        load.wait_answers(100)
        kept = load.orders[-1]
    assert not load.failures, load.failures[:5]
    assert [seller.order_status(order) for order in (saved, lost, kept)] == ["confirmed", 404, "confirmed"]
    assert lost in seller.manager.run("ticketctl", "--ledger-url", f"sqlite:{STATE}/before.db", "orders", lost).stdout
    seller.stop()
    assert "all agree" in audit(seller, f"{STATE}/ledger.db")
    # a new machine, with nothing but the backup
    shutil.rmtree(seller.manager.root / STATE.lstrip("/"))
    do(seller, "bring a ledger to a new machine")
    seller.start()
    assert [seller.order_status(order) for order in (saved, kept)] == ["confirmed", 404]
    assert seller.buy()


# The ledger moves to another folder while clients wait: none is refused, nothing that was sold is lost.
@pytest.mark.parametrize("pool", ["monolith", "vacancy"])
def test_move(places, pool):
    seller = places[pool]
    seller.setting(INITIAL_STOCK=1000000)
    seller.start()
    before = seller.available()
    with buyers(seller) as load:
        load.wait_answers(100)
        do(seller, "Move the ledger")
        load.wait_answers(100)
    assert not load.failures, load.failures[:5]
    assert seller.available() == before - load.sold
    old = seller.manager.root / f"{STATE}/ledger.db".lstrip("/")
    moved_at = old.stat().st_mtime_ns
    assert seller.order_status(seller.buy()) == "confirmed"
    seller.stop()
    assert "all agree" in audit(seller, "/srv/tickets/ledger.db")
    assert old.stat().st_mtime_ns == moved_at, "the old ledger is written no more"


# A socket unit that is changed while its service runs takes effect when both are stopped and started.
def test_change_port(monolith):
    monolith.start()
    order = monolith.buy()
    do(monolith, "Change the port")
    with Client("http://127.0.0.1:9000") as client:
        assert client.ask("GET", f"/api/v1/orders/{order}").status == 200
    with pytest.raises(ConnectionRefusedError):
        Client(monolith.address)


# ---------------------------------------------------------------- what to read


def read(unit, text, priority):
    """The one entry of the journal that says so, with that priority."""
    entry = unit.wait_journal(text)[-1]
    assert entry["PRIORITY"] == priority, entry
    return entry["MESSAGE"]


# A full disk stops the sales and nothing else: status and journal say why, and it sells again when there is room.
def test_disk_full(monolith):
    run = monolith.manager.run
    run("mkdir", "-p", STATE)
    run("mount", "-t", "tmpfs", "-o", "size=2m", "ticketd-test", STATE)
    try:
        monolith.setting(SALE_TIMEOUT=0.3)
        monolith.start()
        order, processes = monolith.buy(), monolith.processes()
        run("dd", "if=/dev/zero", f"of={STATE}/filler", "bs=4k", check=False)
        eventually(lambda: monolith.ask("POST", PURCHASE, {"qty": 1}).status == 503, "nothing is sold any more")
        read(monolith, "selling stops until it can be written again", ERROR)
        monolith.wait_status("the ledger cannot be written")
        assert re.search(r"Active: active .*the ledger cannot be written", monolith.told(), re.DOTALL)
        assert not monolith.is_ready()
        run("rm", f"{STATE}/filler")
        read(monolith, "the ledger is written again", "6")
        eventually(monolith.is_ready, "it is ready again")
        assert monolith.order_status(order) == "confirmed" and monolith.buy()
        assert monolith.processes() == processes
    finally:
        monolith.stop()
        run("umount", STATE)


# Of monolith and vacancy, which share a ledger, the second waits for the first, says for whom it waits, and follows.
def test_ledger_in_use(units):
    monolith, vacancy = units["monolith"], units["vacancy"]
    monolith.start()
    order, holder = monolith.buy(), monolith.main_pid
    vacancy.systemctl("start", "--no-block")
    vacancy.wait_status("loading the ledger")
    said = read(vacancy, "is in use by", CRITICAL)
    pid = re.search(r"the ledger /var/lib/ticketd/ledger.db is in use by process (\d+)", said)[1]
    assert int(pid) == holder and monolith.service in monolith.manager.run("systemctl", "status", pid).stdout
    assert "Active: activating" in vacancy.told()
    assert (monolith.state, monolith.restarts) == ("active", 0)
    monolith.stop()
    vacancy.wait_state("active")
    assert vacancy.order_status(order) == "confirmed"


# A port that somebody else has is named by the socket and by the service; both come up when it is free.
def test_port_taken(monolith):
    run = monolith.manager.run
    with socket.create_server(("127.0.0.1", monolith.address.port)):
        monolith.systemctl("start", "--no-block")
        assert "8000" in read(monolith, "cannot listen", CRITICAL)
        eventually(lambda: "Address already in use" in run("journalctl", "-u", monolith.socket, "-o", "cat").stdout,
                   "the journal of the socket says why")
        assert monolith.show("Result", monolith.socket) != "success"
        assert monolith.state == "activating"
    run("systemctl", "stop", monolith.socket, monolith.service)
    run("systemctl", "start", monolith.socket, monolith.service)
    with Client(monolith.address) as client:
        assert client.ask("GET", AVAILABLE).status == 200
    assert monolith.show("ActiveState", monolith.socket) == "active"


# A wrong setting, and a death, as the status shows them.
def test_status(monolith):
    monolith.configure(MONOLITH_PORT="eight")
    monolith.systemctl("start", check=False)
    told = monolith.told()
    assert re.search(r"Active: failed .*MONOLITH_PORT: \S*eight.*status=78/CONFIG", told, re.DOTALL), told
    monolith.configure(MONOLITH_PORT="8000")
    monolith.start()
    keeper = monolith.find("keeper")
    monolith.kill(keeper)
    assert "was killed by signal 9" in read(monolith, f"the keeper (pid {keeper})", "4")
    monolith.kill(monolith.main_pid)
    monolith.wait_journal("code=killed, status=9/KILL")
    eventually(lambda: monolith.restarts == 1 and monolith.is_ready(), "it is back")
