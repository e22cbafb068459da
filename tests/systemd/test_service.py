"""The monolith as a service: start, readiness, deaths, reload, upgrade, and what the journal says."""

import contextlib
import fcntl
import os
import subprocess
import time

import pytest

from harness import DEADLINE_S, PURCHASE, Client, eventually, request_bytes, stays
from unit import Binary, buyers

EX_CONFIG = 78
WARNING = 4
# How long a start waits for a ledger that another process holds.
LOCK_WAIT_S = 5


# ---------------------------------------------------------------- start and stop


# When `systemctl start` returns, the first request is answered; the status tells what runs.
def test_start(monolith):
    began = time.monotonic()
    monolith.start()
    took_s = time.monotonic() - began
    assert monolith.is_ready()
    assert monolith.available() == 1000
    assert monolith.show("StatusText").startswith("Running: ")
    assert monolith.find("master") == monolith.main_pid
    print(f"from systemctl start to ready: {took_s * 1000:.0f} ms")


# Without its ledger the service is not started yet; clients wait for it in its socket and are answered then.
def test_ready_only_when_ready(monolith):
    monolith.start()
    monolith.stop()
    with ledger_held(monolith):
        monolith.systemctl("start", "--no-block")
        monolith.wait_status("loading the ledger")
        client = Client(monolith.address)
        # not /ready: the first worker may be asked a moment before the keeper is there
        client.send(request_bytes("POST", PURCHASE, {"qty": 1}))
        assert client.silent(1.0)
        assert monolith.state == "activating"
    with client:
        assert client.answer().json()["success"]
    monolith.wait_state("active")


@contextlib.contextmanager
def ledger_held(unit, name="ledger.db"):
    """Somebody else holds a ledger of the service, as an old tree does that has not ended yet."""
    folder = unit.manager.root / "var/lib/ticketd"
    with open(folder / f"{name}-lock", "ab") as file:
        os.fchown(file.fileno(), folder.stat().st_uid, folder.stat().st_gid)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# A service that still waits for its ledger can be stopped at once, in order.
def test_stop_while_loading(monolith):
    monolith.start()
    order = monolith.buy()
    monolith.stop()
    with ledger_held(monolith):
        monolith.systemctl("start", "--no-block")
        monolith.wait_status("loading the ledger")
        began = time.monotonic()
        monolith.stop()
        assert time.monotonic() - began < LOCK_WAIT_S / 2
    assert (monolith.state, monolith.show("Result"), monolith.restarts) == ("inactive", "success", 0)
    monolith.start()
    assert monolith.order_status(order) == "confirmed"


# A stop ends in order, and what was sold is there after the next start.
def test_stop(monolith):
    monolith.start()
    order = monolith.buy()
    monolith.stop()
    assert (monolith.state, monolith.show("Result")) == ("inactive", "success")
    monolith.start()
    assert monolith.order_status(order) == "confirmed"
    assert monolith.available() == 999


# A stop may take longer than TimeoutStopSec, as long as the service says that it goes on: a buyer who is slow to send
# is waited for.
def test_long_stop(monolith):
    monolith.drop_in("[Service]\nTimeoutStopSec=1\n")
    monolith.setting(SHUTDOWN_TIMEOUT=8)
    monolith.start()
    request = request_bytes("POST", PURCHASE, {"qty": 1})
    with Client(monolith.address) as client:
        client.send(request[:-1])
        assert monolith.available() == 1000
        monolith.systemctl("stop", "--no-block")
        assert client.silent(3.0)
        assert monolith.state == "deactivating"
        client.send(request[-1:])
        assert client.answer().json()["success"]
    monolith.wait_state("inactive")
    assert monolith.show("Result") == "success"
    assert monolith.available() == 999


# A ledger that was kept for a DynamicUser is taken over with all that was sold; the way back is open, too.
def test_other_owner(monolith):
    monolith.drop_in("[Service]\nUser=\nDynamicUser=yes\n")
    monolith.start()
    orders = [monolith.buy()]
    monolith.stop()
    assert (monolith.manager.root / "var/lib/private/ticketd/ledger.db").exists()
    for text in ("", "[Service]\nUser=\nDynamicUser=yes\n", ""):
        monolith.drop_in(text)
        monolith.start()
        assert [monolith.order_status(order) for order in orders] == ["confirmed"] * len(orders)
        orders.append(monolith.buy())
        monolith.stop()
    assert (monolith.manager.root / "var/lib/ticketd/ledger.db").exists()


# ---------------------------------------------------------------- deaths


# A dead worker is the master's business: it is replaced, and systemd restarts nothing.
def test_kill_worker(monolith):
    monolith.start()
    master, worker, order = monolith.main_pid, monolith.find("worker 0"), monolith.buy()
    monolith.kill(worker)
    eventually(lambda: monolith.find("worker 0") != worker, "another worker")
    assert (monolith.main_pid, monolith.restarts) == (master, 0)
    assert monolith.order_status(order) == "confirmed"
    assert monolith.buy()


# So is a dead keeper; the status tells of it until its successor has loaded.
def test_kill_keeper(monolith):
    monolith.start()
    master, keeper, order = monolith.main_pid, monolith.find("keeper"), monolith.buy()
    monolith.kill(keeper)
    eventually(lambda: monolith.find("keeper") != keeper and monolith.is_ready(), "another keeper, ready")
    assert (monolith.main_pid, monolith.restarts) == (master, 0)
    assert monolith.order_status(order) == "confirmed"
    assert monolith.buy()


# A dead master takes all with it; systemd starts the service again, and nothing that was sold is lost.
def test_kill_master(monolith):
    monolith.start()
    master = monolith.main_pid
    orders = [monolith.buy() for _ in range(20)]
    monolith.kill(master)
    # the socket is still there: nobody is refused
    Client(monolith.address).close()
    eventually(lambda: monolith.restarts == 1 and monolith.is_ready(), "it is back")
    assert monolith.main_pid not in (0, master)
    assert [monolith.order_status(order) for order in orders] == ["confirmed"] * 20
    assert monolith.available() == 980


# A master that hangs is found by the watchdog; its workers serve until then.
def test_hung_master(monolith):
    monolith.drop_in("[Service]\nWatchdogSec=1\n")
    monolith.start()
    master, order = monolith.main_pid, monolith.buy()
    monolith.kill(master, "STOP")
    assert monolith.is_ready()
    eventually(lambda: monolith.restarts == 1, "systemd restarts the service")
    monolith.wait_journal("Watchdog timeout")
    monolith.wait_state("active")
    assert monolith.main_pid != master
    assert monolith.order_status(order) == "confirmed"


# A restart in place that takes longer than the watchdog allows becomes one by systemd, which has all the time that it
# needs; nothing that was sold is lost.
def test_slow_restart_in_place(monolith):
    monolith.drop_in("[Service]\nWatchdogSec=1\n")
    monolith.setting(ENVIRONMENT="development", RELOAD="true")
    monolith.start()
    master, order = monolith.main_pid, monolith.buy()
    # the same ledger by a name that is locked on its own, before the one life has ended
    (monolith.manager.root / "var/lib/ticketd/again.db").symlink_to("ledger.db")
    with ledger_held(monolith, "again.db"):
        monolith.configure(LEDGER_URL="sqlite:/var/lib/ticketd/again.db")
        monolith.wait_status("loading the ledger")
        assert monolith.main_pid == master
        eventually(lambda: monolith.restarts == 1, "systemd restarts the service")
        monolith.wait_journal("Watchdog timeout")
        stays(lambda: monolith.state == "activating", "it waits", 2.0, step_s=0.2)
    monolith.wait_state("active")
    assert (monolith.restarts, monolith.order_status(order)) == (1, "confirmed")


# One that only has nothing to do is fed for: the watchdog leaves it alone.
def test_idle_master(monolith):
    monolith.drop_in("[Service]\nWatchdogSec=1\n")
    monolith.start()
    master = monolith.main_pid
    stays(lambda: (monolith.main_pid, monolith.restarts) == (master, 0), "the same master", 3.5, step_s=0.2)


@pytest.fixture
def slow_disk(monolith):
    """A file system of the ledger's own that can be frozen: returns what does so, and undoes it."""
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("this machine has no loop devices, which a disk that hangs is made of")
    manager = monolith.manager
    image = manager.folder / "disk"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    loop = subprocess.run(["losetup", "--find", "--show", image], check=True, text=True, stdout=subprocess.PIPE)
    device = loop.stdout.strip()
    inside = ["nsenter", "-t", str(manager.leader), "-m", "--"]

    def mounted(*command):
        subprocess.run([*inside, *command], check=True)

    def freeze(on):
        mounted("fsfreeze", "--freeze" if on else "--unfreeze", "/var/lib/ticketd")
    try:
        number = os.stat(device).st_rdev
        (manager.root / "var/lib/ticketd").mkdir(exist_ok=True)
        mounted("mknod", "/dev/ticketd-test", "b", str(os.major(number)), str(os.minor(number)))
        mounted("mount", "/dev/ticketd-test", "/var/lib/ticketd")
        mounted("rmdir", "/var/lib/ticketd/lost+found")
        yield freeze
        subprocess.run([*inside, "fsfreeze", "--unfreeze", "/var/lib/ticketd"], check=False, stderr=subprocess.DEVNULL)
        monolith.stop()
        mounted("umount", "/var/lib/ticketd")
    finally:
        mounted("rm", "-f", "/dev/ticketd-test")
        subprocess.run(["losetup", "--detach", device], check=False)


# A disk that hangs makes the service unready, and status and journal say so; nothing is restarted, and when it is back
# the buyer who waited for it is served, and all others again.
def test_hung_disk(monolith, slow_disk):
    monolith.drop_in("[Service]\nWatchdogSec=1\n")
    monolith.setting(SALE_TIMEOUT=0.3)
    monolith.start()
    order, processes = monolith.buy(), monolith.processes()
    key = {"Idempotency-Key": "waits"}
    slow_disk(True)
    with Client(monolith.address) as waiting:
        waiting.send(request_bytes("POST", PURCHASE, {"qty": 1}, key))
        eventually(lambda: monolith.ask("POST", PURCHASE, {"qty": 1}).status == 503, "others are refused")
        assert monolith.wait_journal("answered 503")[0]["PRIORITY"] == str(WARNING)
        eventually(lambda: not monolith.is_ready(), "it is unready")
        monolith.wait_status("the ledger does not answer")
        stays(lambda: monolith.processes() == processes, "the same processes", 2.5, step_s=0.2)
        slow_disk(False)
        answer = waiting.answer()
    # on a slow machine it has hung for ten seconds: then it is the key that tells
    assert answer.status == 200 or answer.json()["code"] == "outcome_unknown", answer
    eventually(monolith.is_ready, "it is ready again")
    assert answer.status != 200 or monolith.buy(key) == answer.json()["order_id"]
    assert monolith.order_status(monolith.buy(key)) == "confirmed"
    assert (monolith.processes(), monolith.restarts) == (processes, 0)
    assert monolith.order_status(order) == "confirmed"
    assert monolith.buy()


# ---------------------------------------------------------------- reload and upgrade


def assert_nobody_noticed(load, what):
    print(f"{what}: {load.answered} answers, {len(load.failures)} failed, "
          f"longest time that a client went without one {load.longest_gap_s * 1000:.0f} ms")
    assert not load.failures, load.failures[:5]


# `systemctl reload` returns when all workers are new; no client notices.
@pytest.mark.parametrize("keepalive", [True, False], ids=["keepalive", "new connections"])
def test_reload_under_load(monolith, keepalive):
    monolith.setting(INITIAL_STOCK=1000000)
    monolith.start()
    master, workers = monolith.main_pid, {monolith.find("worker 0"), monolith.find("worker 1")}
    with buyers(monolith, keepalive=keepalive) as load:
        load.wait_answers(100)
        monolith.systemctl("reload")
        serving = {p for p, t in monolith.processes().items() if t.startswith("ticketd: worker")}
        assert len(serving - workers) == 2
        load.wait_answers(100)
    assert_nobody_noticed(load, "reload")
    assert (monolith.main_pid, monolith.restarts) == (master, 0)
    assert monolith.available() == 1000000 - load.sold


# `systemctl restart` loses no request and no order: connections wait in the socket.
@pytest.mark.parametrize("keepalive", [True, False], ids=["keepalive", "new connections"])
def test_restart_under_load(monolith, keepalive):
    monolith.setting(INITIAL_STOCK=1000000)
    monolith.start()
    master = monolith.main_pid
    with buyers(monolith, keepalive=keepalive) as load:
        for _ in range(3):
            load.wait_answers(100)
            monolith.systemctl("restart")
        load.wait_answers(100)
    assert_nobody_noticed(load, "3 restarts")
    assert monolith.main_pid != master
    assert monolith.available() == 1000000 - load.sold


# A new binary takes over by a restart in the same way, and so does the old one when it is put back.
def test_upgrade_under_load(monolith):
    monolith.setting(INITIAL_STOCK=1000000)
    monolith.start()
    with Binary(monolith) as binary, buyers(monolith) as load:
        for mark in (b"another version", b""):
            load.wait_answers(100)
            binary.upgrade(mark)
        load.wait_answers(100)
    assert_nobody_noticed(load, "upgrade and roll-back")
    assert monolith.available() == 1000000 - load.sold


# ---------------------------------------------------------------- mistakes


# A wrong configuration fails the unit once, and the journal says which setting and why.
def test_wrong_setting(monolith):
    monolith.configure(MONOLITH_PORT="eight")
    assert monolith.systemctl("start", check=False).returncode != 0
    assert (monolith.state, monolith.show("ExecMainStatus")) == ("failed", str(EX_CONFIG))
    (line,) = monolith.wait_journal("MONOLITH_PORT")
    assert "eight" in line["MESSAGE"] and int(line["PRIORITY"]) < WARNING
    stays(lambda: monolith.state == "failed" and monolith.restarts == 0, "no restart", 1.2, step_s=0.1)


# So does a socket that nothing here serves.
def test_wrong_socket(monolith):
    monolith.drop_in("[Socket]\nFileDescriptorName=vacancy\n", monolith.socket)
    assert monolith.systemctl("start", check=False).returncode != 0
    assert monolith.show("ExecMainStatus") == str(EX_CONFIG)
    assert int(monolith.wait_journal("FileDescriptorName")[0]["PRIORITY"]) < WARNING


# A reload with a wrong configuration fails as a command, and changes nothing.
def test_reload_refused(monolith):
    monolith.start()
    processes = monolith.processes()
    monolith.configure(LOG_LEVEL="LOUD")
    assert monolith.systemctl("reload", check=False).returncode != 0
    monolith.wait_journal("LOG_LEVEL")
    assert monolith.state == "active"
    assert monolith.processes() == processes
    assert monolith.is_ready()


# ---------------------------------------------------------------- the journal


# Entries carry their level and whose they are as fields; their text is the message alone.
def test_journal_fields(monolith):
    monolith.setting(ACCESS_LOG="true")
    monolith.start()
    monolith.ask("GET", "/health", headers={"X-Request-ID": "seen-in-journal"})
    monolith.kill(monolith.find("worker 1"))
    (access,) = monolith.wait_journal("/health")
    assert access["TICKETD_ROLE"] == "worker" and access["TICKETD_WORKER"] in ("0", "1")
    assert access["TICKETD_REQUEST_ID"] == "seen-in-journal"
    assert (access["PRIORITY"], access["SYSLOG_IDENTIFIER"]) == ("6", "ticketd")
    (death,) = monolith.wait_journal("was killed by signal 9")
    assert (death["TICKETD_ROLE"], death["PRIORITY"]) == ("master", "4")
    assert death["MESSAGE"].startswith("master: worker 1 (pid ")


# With JSON_LOGS an entry's text is the JSON object; priority and fields are there as well.
def test_journal_json(monolith):
    monolith.setting(JSON_LOGS="true")
    monolith.start()
    (ready,) = monolith.wait_journal('"message":"ready: ')
    assert (ready["TICKETD_ROLE"], ready["PRIORITY"]) == ("master", "6")
    assert "TICKETD_WORKER" not in ready


# Last words are found by the unit, although who spoke them is gone.
def test_journal_last_words(monolith):
    monolith.setting(LEDGER_URL="sqlite:/proc/version/no/ledger.db")
    for _ in range(5):
        since = len(monolith.journal())
        monolith.systemctl("start", "--no-block")
        assert monolith.wait_journal("/proc/version", since)[0]["PRIORITY"] == "2"
        monolith.stop()
