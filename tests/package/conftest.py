"""Fixtures of the package's tests: two packages, and a Debian under its own systemd to try them on."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/integration"), str(ROOT / "tests/systemd")]

import manager as managers  # noqa: E402
from harness import LONG  # noqa: E402
from unit import POOLS, Unit  # noqa: E402

# What meson understands as "skipped".
SKIPPED = 77
# So much later is the second package's commit; the first one's is HEAD.
LATER_S = 1


def run(*command, cwd=ROOT, **environment):
    """Runs a command on this machine; its output."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, env={**os.environ, **environment}, check=False,
                          text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}"
    return done.stdout


def why_no_package():
    for program in ("git", "dpkg-buildpackage", "dh", "lintian"):
        if shutil.which(program) is None:
            return f"there is no {program} here"
    if subprocess.run(["git", "-C", ROOT, "rev-parse", "--quiet", "--verify", "HEAD"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return "this is not a clone: there is no commit to build"
    return None


class Package:
    """A package that tools/package of the work tree `tree` made in `folder`, to which lintian had nothing to say."""

    def __init__(self, tree, folder):
        run(tree / "tools/package", folder, cwd=tree, DEBFULLNAME="Tests", DEBEMAIL="tests@ticketd.example")
        (self.path,) = folder.glob("ticketd_*.deb")
        self.version = run("dpkg-deb", "--field", self.path, "Version").strip()
        # path → mode and owner
        rows = [row.split(None, 5) for row in run("dpkg-deb", "--contents", self.path).splitlines()]
        self.files = {row[5].removeprefix("."): row[:2] for row in rows if not row[5].endswith("/")}


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The package of the last commit."""
    reason = why_no_package()
    if reason:
        pytest.skip(reason)
    return Package(ROOT, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def later_package(package, tmp_path_factory):
    """One of a commit after it."""
    clone = tmp_path_factory.mktemp("clone") / "tree"
    run("git", "clone", "--quiet", "--shared", ROOT, clone)
    when = int(run("git", "log", "-1", "--format=%ct")) + LATER_S
    run("git", "-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "--quiet", "--allow-empty",
        "--message=Later", cwd=clone, GIT_COMMITTER_DATE=f"{when} +0000")
    return Package(clone, tmp_path_factory.mktemp("later"))


class Debian(managers.Manager):
    """This machine's system in a container, without anything of ticketd until a package brings it."""

    def __init__(self):
        super().__init__(ROOT)
        # Some machines forbid packages to touch services.
        (self.root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
        # Else every installation indexes all manual pages anew, which takes seconds.
        (self.root / "var/lib/man-db/auto-update").unlink(missing_ok=True)

    def _install(self, build):
        self.stage = self.folder / "stage"
        self.stage.mkdir()

    def dpkg(self, verb, what):
        """What it said. It asks nothing: an answer that it needs is a failure."""
        if isinstance(what, Package):
            copy = self.root / "root" / what.path.name
            shutil.copyfile(what.path, copy)
            what = f"/root/{copy.name}"
        done = self.run("dpkg", verb, what)
        return done.stdout + done.stderr

    def install(self, package):
        return self.dpkg("--install", package)

    def remove(self):
        return self.dpkg("--remove", "ticketd")

    def purge(self):
        return self.dpkg("--purge", "ticketd")


@pytest.fixture(scope="session")
def debian():
    reason = why_no_package() or managers.why_not()
    if reason:
        pytest.skip(reason)
    # Ended by a signal, the fixture must still clean up.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    one = Debian()
    leave_network = one.enter_network()
    yield one
    leave_network()
    one.close()


@pytest.fixture
def units(debian, package):
    """The units by pool, on a Debian that has just got the package."""
    debian.install(package)
    yield {pool: Unit(debian, pool) for pool in POOLS}
    debian.purge()


def pytest_configure(config):
    config.addinivalue_line("markers", "long: runs only with TICKETD_TEST_LONG=1")


def pytest_collection_modifyitems(config, items):
    """Not skipped but left out: a short run is complete without them."""
    if not LONG:
        items[:] = [item for item in items if item.get_closest_marker("long") is None]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """A run in which anything was skipped, and nothing failed, is a skipped one."""
    reports = session.config.pluginmanager.get_plugin("terminalreporter").stats
    if exitstatus == pytest.ExitCode.OK and reports.get("skipped"):
        session.exitstatus = SKIPPED
