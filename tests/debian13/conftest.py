"""The one Debian 13 of the tests, which go through it in their order, as its user does."""

import signal

import debian13
import pytest

MESON_SKIP = 77


def interrupt(_signum, _frame):
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def debian():
    reason = debian13.why_not()
    if reason:
        pytest.skip(reason)
    # Ended by a signal, the fixture must still clean up. Started in the background, SIGINT is ignored.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupt)
    one = debian13.Debian13()
    yield one
    one.close()


def pytest_sessionfinish(session, exitstatus):
    """Where no Debian 13 can be made, nothing was tested: meson's word for that."""
    if exitstatus == 0 and debian13.why_not():
        session.exitstatus = MESON_SKIP
