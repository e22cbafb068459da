"""Fixtures of the browser's tests: `browser`, and `start` and `server` of the integration tests."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import pytest

# What meson understands as "skipped".
SKIPPED = 77
INTEGRATION = Path(__file__).resolve().parents[1] / "integration"
sys.path.insert(0, str(INTEGRATION))

import harness  # noqa: E402
from browsing import Browser  # noqa: E402

_spec = importlib.util.spec_from_file_location("integration_conftest", INTEGRATION / "conftest.py")
_integration = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_integration)
start, server = _integration.start, _integration.server
pytest_runtest_makereport = _integration.pytest_runtest_makereport


@pytest.fixture(scope="session")
def one_browser():
    # Ended by a signal, the fixture must still clean up.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    one = Browser()
    yield one
    one.close()


@pytest.fixture
def browser(one_browser):
    """Fails a test whose pages complained of anything, or asked for anything that is not on this machine."""
    one_browser.forget()
    yield one_browser
    complaints, elsewhere = one_browser.complaints(), [
        url for url in one_browser.asked() if not url.startswith("http://127.0.0.1:")]
    assert not complaints, complaints
    assert not elsewhere, elsewhere


@pytest.fixture
def without_pages(start):
    """Starts a server that was built without npm."""
    return lambda **settings: start(program=os.environ["TICKETD_WITHOUT_PAGES"], **settings)


def pools():
    """Of each pool of this mode: its name, and the path by which it sells."""
    return [("vacancy", harness.RESERVE), ("ticket", harness.PURCHASE)] if harness.MICROSERVICES else [
        ("monolith", harness.PURCHASE)]


@pytest.fixture(params=pools(), ids=lambda pool: pool[0])
def pool(request, server):
    """Each pool of the server by turns: where it is, and the path by which it sells."""
    name, sell_path = request.param
    return server._address_of(name).url, sell_path


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """A run in which anything was skipped, and nothing failed, is a skipped one."""
    reports = session.config.pluginmanager.get_plugin("terminalreporter").stats
    if exitstatus == pytest.ExitCode.OK and reports.get("skipped"):
        session.exitstatus = SKIPPED
