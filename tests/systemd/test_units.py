"""The files that are installed: complete, free of mistakes, and shut in."""

import re

import pytest

from unit import POOLS, Unit

# The worst score that a unit may have, of 10.
EXPOSURE_MAX = 1.5


# Everything that a service needs is put in place by `meson install`, under DESTDIR.
def test_installed(manager):
    found = {str(path.relative_to(manager.stage)) for path in manager.stage.rglob("*") if path.is_file()}
    for pool in POOLS:
        for kind in ("service", "socket"):
            assert any(path.endswith(f"systemd/system/ticket-{pool}.{kind}") for path in found), found
        assert f"etc/ticketd/{pool}.env" in found
    assert any(path.endswith("sysusers.d/ticketd.conf") for path in found), found


# systemd has nothing to say against any of them.
@pytest.mark.parametrize("kind", ["service", "socket"])
@pytest.mark.parametrize("pool", POOLS)
def test_verify(manager, pool, kind):
    done = manager.run("systemd-analyze", "verify", "--man=no", f"ticket-{pool}.{kind}")
    assert done.stdout + done.stderr == ""


# The score of each service is good enough, also by the judgement of systemd's own threshold.
@pytest.mark.parametrize("pool", POOLS)
def test_exposure(manager, pool):
    score = Unit(manager, pool).exposure()
    print(f"ticket-{pool}.service: exposure {score}")
    assert score <= EXPOSURE_MAX
    manager.run("systemd-analyze", "security", "--no-pager", f"--threshold={EXPOSURE_MAX * 10:.0f}",
                f"ticket-{pool}.service")


# An edited file of a running installation survives the next install.
def test_install_keeps_settings(manager):
    for pool in POOLS:
        config = (manager.root / f"etc/ticketd/{pool}.env").read_text()
        assert "DEPLOYMENT_MODE=" in config and not re.search(r"@\w+@", config)
