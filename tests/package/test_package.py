"""The Debian package: what is in it, and its life: installation, upgrades under load, removal, purge."""

import os
import re
import shutil

import pytest

from unit import POOLS, Unit, buyers

UNITS = [f"ticket-{pool}.{kind}" for pool in POOLS for kind in ("service", "socket")]
CONFFILES = {f"/etc/ticketd/{name}" for name in
             ("environment", "monolith.env", "microservices.env", "vacancy.env", "ticket.env")}

# Where every installation of any package leaves its traces, and what the system writes by itself.
BOOKKEEPING = re.compile(
    r"/var/(lib/dpkg|log|cache)(/|$)|/var/lib/systemd/|/root/|"
    # the user stays: files of it may be elsewhere, and its number must not become another's
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/etc/\.pwd\.lock$|/etc/[^/]*\.cache$")


def files_of(debian):
    found = debian.run("find", "/etc", "/root", "/usr", "/var", "-xdev", "-not", "-type", "d").stdout
    return {path for path in found.splitlines() if not BOOKKEEPING.match(path)}


def folders_named_ticketd(debian):
    found = debian.run("find", "/etc", "/usr", "/var", "-xdev", "-type", "d", "-name", "*ticketd*").stdout
    return found.splitlines()


def running(debian):
    return [line for line in debian.run("ps", "-eo", "args=").stdout.splitlines() if line.startswith("ticketd:")]


def assert_new_binary(unit, old_pid):
    """The unit runs the file that is installed, in another process than before."""
    now = unit.main_pid
    assert now not in (0, old_pid)
    installed = os.stat(unit.manager.root / "usr/sbin/ticketd")
    assert os.stat(unit.manager.root / f"proc/{now}/exe").st_ino == installed.st_ino


# ---------------------------------------------------------------- what is in it


# It has the programs, their pages, the settings as conffiles, and a service and a socket for each pool; all is
# root's, and nobody else may write it.
def test_contents(package):
    names = set(package.files)
    assert {"/usr/sbin/ticketd", "/usr/bin/ticketctl", "/usr/lib/sysusers.d/ticketd.conf"} <= names
    assert {f"/usr/share/man/man{page}.gz" for page in ("1/ticketctl.1", "5/ticketd.conf.5", "8/ticketd.8")} <= names
    # whose works the pages contain, where npm brought them
    notices = "/usr/share/doc/ticketd/third-party-notices.txt.gz"
    assert (notices in names) == (shutil.which("npm") is not None)
    assert {f"/usr/share/{name}" for name in (
        "bash-completion/completions/ticketctl", "zsh/vendor-completions/_ticketctl",
        "fish/vendor_completions.d/ticketctl.fish", "doc/ticketd/prometheus/ticketd-alerts.yml",
        "doc/ticketd/grafana/ticketd.json")} <= names
    assert {os.path.basename(name) for name in names if "/systemd/system/" in name} == set(UNITS)
    assert {name for name in names if name.startswith("/etc/")} == CONFFILES
    assert all(owner == "root/root" and mode[5] == mode[8] == "-" for mode, owner in package.files.values())


# ---------------------------------------------------------------- installation


# Installing starts nothing and enables nothing, for the operator chooses; the one that is started then sells.
def test_install(debian, units):
    states = debian.run("systemctl", "is-enabled", *UNITS, check=False).stdout.split()
    assert states == ["disabled"] * len(UNITS)
    states = debian.run("systemctl", "is-active", *UNITS, check=False).stdout.split()
    assert states == ["inactive"] * len(UNITS)
    units["monolith"].start()
    assert units["monolith"].buy()
    assert debian.run("ticketctl", "--config", "/etc/ticketd/monolith.env", "--ledger-url",
                      "sqlite:/var/lib/ticketd/ledger.db", "audit").returncode == 0


# ---------------------------------------------------------------- upgrade


# A later package replaces the binary of a running server, and so does the earlier one when it is put back; no
# client notices, no order is lost, and what the operator wrote and enabled stays.
def test_upgrade_under_load(debian, units, package, later_package):
    monolith, mark = units["monolith"], "\n# mine\n"
    monolith.setting(INITIAL_STOCK=1000000)
    monolith.config.write_text(monolith.config.read_text() + mark)
    debian.run("systemctl", "enable", "--quiet", "--now", monolith.service)
    order = monolith.buy()
    with buyers(monolith) as load:
        for other in (later_package, package):
            load.wait_answers(100)
            old_pid = monolith.main_pid
            debian.install(other)
            assert debian.run("dpkg-query", "-W", "-f=${Version}", "ticketd").stdout == other.version
            assert_new_binary(monolith, old_pid)
        load.wait_answers(100)
    print(f"upgrade and roll-back: {load.answered} answers, {len(load.failures)} failed, "
          f"longest time without one {load.longest_gap_s * 1000:.0f} ms")
    assert not load.failures, load.failures[:5]
    assert monolith.order_status(order) == "confirmed"
    assert monolith.available() == 1000000 - 1 - load.sold
    assert monolith.config.read_text().endswith(mark)
    assert debian.run("systemctl", "is-enabled", monolith.service).stdout.strip() == "enabled"
    assert units["vacancy"].state == "inactive"


# Of two pools the vacancy pool is ready again before the ticket pool is restarted; no client notices, and what
# does not run stays so.
def test_upgrade_order(units, debian, later_package):
    vacancy, ticket = units["vacancy"], units["ticket"]
    vacancy.setting(INITIAL_STOCK=1000000)
    vacancy.start()
    ticket.start()
    order, old = ticket.buy(), {unit: unit.main_pid for unit in (vacancy, ticket)}
    with buyers(ticket) as load:
        load.wait_answers(100)
        debian.install(later_package)
        load.wait_answers(100)
    assert not load.failures, load.failures[:5]
    assert vacancy.available() == 1000000 - 1 - load.sold
    for unit, old_pid in old.items():
        assert_new_binary(unit, old_pid)
    ready, began = vacancy.show("ActiveEnterTimestampMonotonic"), ticket.show("InactiveExitTimestampMonotonic")
    assert int(ready) <= int(began)
    assert ticket.order_status(order) == "confirmed"
    assert ticket.buy()
    assert units["monolith"].state == "inactive"


# A service that cannot start any more, because of its settings, does not break the upgrade, which says so.
def test_upgrade_with_wrong_setting(units, debian, later_package):
    monolith = units["monolith"]
    monolith.start()
    monolith.config.write_text(monolith.config.read_text() + "MONOLITH_PORT=eight\n")
    said = debian.install(later_package)
    assert "ticket-monolith.service is not ready again" in said
    assert monolith.state == "failed"


# Nor does one that never becomes ready: the upgrade goes on without it, and the service goes on trying. It waits
# for as long as the upgrade does.
@pytest.mark.long
def test_upgrade_without_end(units, debian, later_package):
    monolith = units["monolith"]
    monolith.start()
    monolith.drop_in("[Service]\nExecStartPre=sleep infinity\n")
    said = debian.install(later_package)
    assert "ticket-monolith.service is not ready again" in said
    assert monolith.state == "activating"
    shutil.rmtree(debian.root / "etc/systemd/system" / f"{monolith.service}.d")


# ---------------------------------------------------------------- removal


# Removing it while it sells stops it and leaves the orders and the settings, which the next installation finds;
# purging leaves nothing.
def test_remove_and_purge(debian, package):
    before = files_of(debian)
    debian.install(package)
    monolith = Unit(debian, "monolith")
    monolith.setting(INITIAL_STOCK=10)
    debian.run("systemctl", "enable", "--quiet", "--now", monolith.service)
    order = monolith.buy()

    debian.remove()
    assert not running(debian)
    assert debian.run("systemctl", "is-active", *UNITS, check=False).stdout.split() == ["inactive"] * len(UNITS)
    left = files_of(debian) - before
    ledger = {path for path in left if path.startswith("/var/lib/ticketd/")}
    wanted = {path for path in left if path.startswith("/etc/systemd/system/")}
    assert "/var/lib/ticketd/ledger.db" in ledger
    assert left - ledger - wanted == CONFFILES
    # It was enabled, and is again when it comes back.
    assert {os.path.basename(path) for path in wanted} == {monolith.service, monolith.socket}

    debian.install(package)
    monolith.start()
    assert (monolith.order_status(order), monolith.available()) == ("confirmed", 9)

    said = debian.purge()
    assert "not empty" not in said
    assert not running(debian)
    assert files_of(debian) == before
    assert folders_named_ticketd(debian) == []
