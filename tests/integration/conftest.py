"""Fixtures of the integration tests: `start` for a server of one's own, `server` for a shared one,
`hop` for two pools and a proxy between them."""

import os
import pathlib
import shutil
import tempfile

import pytest

import harness
from hop import Hop


@pytest.fixture
def start():
    """Starts servers for one test; each is stopped properly at its end, last one first.

    A test that has killed or stopped a server itself leaves nothing to do here."""
    servers = []

    def new(*args, **settings):
        server = harness.Server(*args, **settings)
        servers.append(server)
        return server

    new.servers = servers
    yield new
    problems = []
    for server in reversed(servers):
        try:
            if server.process.returncode is None:
                server.stop()
        except AssertionError as problem:
            problems.append(problem)
        finally:
            server.discard()
    if problems:
        raise problems[0]


@pytest.fixture
def quick_path(tmp_path):
    """A directory in memory where there is one, for ledgers of tests with short time-outs: the disk of
    a busy machine may stand still for seconds, and that is not what they are about."""
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK | os.X_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="ticketd-", dir=memory, ignore_cleanup_errors=True) as directory:
        yield pathlib.Path(directory)


@pytest.fixture
def hop(start, quick_path):
    """Starts both pools with a proxy between them (hop.py)."""
    hops = []

    def new(**settings):
        hops.append(Hop(start, quick_path, **settings))
        return hops[-1]

    yield new
    for one in hops:
        one.proxy.refuse()


@pytest.fixture(scope="module")
def server():
    """One server with the defaults for all tests of a file that change nothing but the stock."""
    shared = harness.Server()
    yield shared
    try:
        shared.stop()
    finally:
        shared.discard()


@pytest.fixture
def unsold(server):
    """Fails a test after which fewer tickets are left than before: what is refused must not sell."""
    before = server.available()
    yield
    assert server.available() == before, "a refused request has sold"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of each of its servers' logs."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        arguments = getattr(item, "funcargs", {})
        shown = list(getattr(arguments.get("start"), "servers", []))
        shown += [arguments["server"]] if "server" in arguments else []
        for one in shown:
            report.sections.append((f"log of {one.master_pid}", one.log_text()))


@pytest.fixture
def copy(tmp_path):
    """A copy of the binary that may be replaced."""
    path = tmp_path / "ticketd"
    shutil.copy2(harness.binary(), path)
    return path
