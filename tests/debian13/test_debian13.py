"""The last commit on Debian 13, which has no libh2o: from a clone to a ticket that is sold, and back."""

import json

import pytest

SOURCE = "/etc/apt/sources.list.d/ticketd-debian-12.sources"
PINS = "/etc/apt/preferences.d/ticketd-debian-12"
LIBH2O = ["libh2o-dev-common", "libh2o-evloop-dev", "libh2o-evloop0.13"]
# Debian 13 does not have them either, and nothing needs them.
STAYS_OUT = ("libh2o0.13", "libssl3")
WERROR = "-Dwerror=true"


@pytest.fixture(scope="module")
def installed(debian):
    """What tools/install-dependencies said when it had everything to install."""
    return debian.run("tools/install-dependencies", "build", network=True)


# All that the build needs gets installed; it says once, in one line, what it has added to apt's sources and how to be
# rid of it.
def test_install(debian, installed):
    (line,) = [line for line in installed.splitlines() if "Debian 12" in line]
    assert SOURCE in line and PINS in line and "undo" in line
    assert debian.exists(SOURCE) and debian.exists(PINS)
    assert "Debian 12" not in debian.run("tools/install-dependencies", "build")


# Nothing of Debian 12 but libh2o can be installed, nor would an upgrade change anything.
@pytest.mark.usefixtures("installed")
def test_nothing_else_of_debian_12(debian):
    debian.run("apt-get", "install", "--simulate", "libh2o-evloop-dev")
    for package in STAYS_OUT:
        assert debian.run("apt-cache", "show", package), package
        assert "Candidate: (none)" in debian.run("apt-cache", "policy", package), package
    assert "\n0 upgraded, 0 newly installed, 0 to remove" in debian.run("apt-get", "dist-upgrade", "--simulate")


# tools/quickstart builds, serves and sells; stopped, it leaves an audit that agrees.
@pytest.mark.usefixtures("installed")
def test_quickstart(debian):
    server = debian.start("tools/quickstart")
    url = "http://127.0.0.1:8000/api/v1"
    assert json.loads(debian.curl(server, f"{url}/available")) == {"qty": 1000}
    sold = json.loads(debian.curl(server, f"{url}/purchase", "-H", "Content-Type: application/json",
                                  "-H", "Idempotency-Key: trixie", "-d", '{"qty": 2}'))
    assert sold["success"] and sold["remaining"] == 998
    assert json.loads(debian.curl(server, f"{url}/orders/{sold['order_id']}"))["qty"] == 2
    debian.stop(server)
    assert sold["order_id"] in debian.run("build/ticketctl", "orders")
    debian.run("build/ticketctl", "audit")


# Its compiler has nothing to say against the code, and the unit and contract tests pass there.
@pytest.mark.usefixtures("installed")
def test_units(debian):
    # No more than these tests need: what tools/install-dependencies gets for all of them comes from elsewhere, too.
    debian.run("apt-get", "install", "--yes", "--no-install-recommends", "libcmocka-dev", "python3-pytest", "procps",
               network=True)
    debian.run("meson", "setup", "build-test", ".", "-Dtests=enabled", WERROR)
    debian.run("ninja", "-C", "build-test")
    suites = ("--suite", "unit", "--suite", "contract")
    listed = debian.run("meson", "test", "-C", "build-test", "--no-rebuild", "--list", *suites)
    # The model is the same on every system, and takes minutes.
    names = {line.split(" / ")[1] for line in listed.splitlines() if " / " in line} - {"model"}
    assert len(names) > 50
    debian.run("meson", "test", "-C", "build-test", "--no-rebuild", "--print-errorlogs", *sorted(names))


# Without the two files Debian 12 is gone from apt, and no package of it is left but libh2o's.
@pytest.mark.usefixtures("installed")
def test_undo(debian):
    debian.run("rm", SOURCE, PINS)
    debian.run("apt-get", "update", network=True)
    listed = debian.run("apt", "list", "--installed").splitlines()
    assert sorted(line.split("/")[0] for line in listed if "local]" in line) == LIBH2O
    debian.run("apt-get", "purge", "--yes", *LIBH2O)
    assert "libh2o" not in debian.run("apt-cache", "pkgnames", "libh2o")


# Then the next run brings it back, but not where the system is none of Debian's: there it says what is missing, and
# changes nothing.
@pytest.mark.usefixtures("installed")
def test_again(debian):
    release = debian.root / "usr/lib/os-release"
    debians = release.read_text()
    release.write_text(debians.replace("ID=debian", "ID=ubuntu"))
    said = debian.run("tools/install-dependencies", "build", network=True, check=False)
    release.write_text(debians)
    assert "This release has no package libh2o-evloop-dev; nothing was installed." in said
    assert not debian.exists(SOURCE) and not debian.exists(PINS)
    debian.run("tools/install-dependencies", "build", network=True)
    assert debian.exists(SOURCE) and debian.exists(PINS)
