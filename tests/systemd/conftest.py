"""Fixtures of the tests under a real systemd: one container a file, clean units for each test."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import manager as managers  # noqa: E402
from unit import POOLS, Unit  # noqa: E402

MESON_SKIP = 77


@pytest.fixture(scope="session")
def manager():
    reason = managers.why_not()
    if reason:
        pytest.skip(reason)
    # Ended by a signal, the fixture must still clean up.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    one = managers.Manager(os.environ["TICKETD_BUILD"])
    leave_network = one.enter_network()
    yield one
    leave_network()
    one.close()


def _clean(manager):
    names = [f"ticket-{pool}.{kind}" for kind in ("socket", "service") for pool in POOLS]
    manager.run("systemctl", "stop", *names, check=False)
    manager.run("systemctl", "unmask", "--quiet", *names, check=False)
    manager.run("systemctl", "reset-failed", check=False)
    changed = False
    for folder in (manager.root / "etc/systemd/system").glob("ticket-*.d"):
        shutil.rmtree(folder)
        changed = True
    if changed:
        manager.run("systemctl", "daemon-reload")
    state = manager.root / "var/lib/ticketd"
    if state.is_dir():
        for file in state.iterdir():
            file.unlink()
    installed = manager.stage / "etc/ticketd"
    for file in (manager.root / "etc/ticketd").iterdir():
        if not (installed / file.name).exists():
            file.unlink()
    for file in installed.iterdir():
        shutil.copyfile(file, manager.root / "etc/ticketd" / file.name)


@pytest.fixture
def units(manager):
    """The units of all pools by name, stopped, with the files that were installed, and no order sold."""
    _clean(manager)
    all_units = {pool: Unit(manager, pool) for pool in POOLS}
    all_units["monolith"].setting()
    yield all_units
    _clean(manager)


@pytest.fixture
def monolith(units):
    return units["monolith"]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of the journal."""
    outcome = yield
    report = outcome.get_result()
    one = getattr(item, "funcargs", {}).get("manager")
    if report.failed and one is not None:
        journal = one.run("journalctl", "--no-pager", "-n", "60", "-o", "short-precise", check=False)
        report.sections.append(("journal", journal.stdout))


def pytest_sessionfinish(session, exitstatus):
    """Where the machine allows no container, nothing was tested: meson's word for that."""
    if exitstatus == 0 and managers.why_not():
        session.exitstatus = MESON_SKIP
