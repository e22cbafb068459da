"""The container itself leaves nothing behind, whichever way it ends."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import manager as managers
from harness import alive, eventually

PROGRAM = Path(managers.__file__).resolve()


@pytest.fixture(scope="module", autouse=True)
def allowed():
    reason = managers.why_not()
    if reason:
        pytest.skip(reason)


def run_until_booted():
    """A container that another process has made."""
    process = subprocess.Popen(
        [sys.executable, "-B", PROGRAM, os.environ["TICKETD_BUILD"], "sh", "-c", "echo booted; exec cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "booted\n"
    return process


def processes(name):
    """Of that container, by their cgroups; one that is dead and only not reaped yet holds nothing."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if f"/{name}" in path.read_text() and alive(int(path.parent.name)):
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


def left(name):
    """All that a container of that name has left."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    cgroups = [hierarchy / name for hierarchy in managers.hierarchies() if (hierarchy / name).exists()]
    files = [path for path in (Path(tempfile.gettempdir()) / name,
                               Path("/run/systemd/nspawn/propagate") / name) if path.exists()]
    return processes(name) + mounts + cgroups + files


# One that ends by itself.
def test_ends():
    process = run_until_booted()
    name = f"{managers.PREFIX}{process.pid}"
    assert processes(name)
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
    assert left(name) == []


# One whose maker is interrupted.
def test_interrupted():
    process = run_until_booted()
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    process.wait(60)
    process.stdout.close()
    assert left(f"{managers.PREFIX}{process.pid}") == []


# One whose maker is killed: its processes end at once, and the next one takes away the rest.
def test_killed():
    process = run_until_booted()
    name = f"{managers.PREFIX}{process.pid}"
    process.kill()
    process.wait(60)
    process.stdin.close()
    process.stdout.close()
    eventually(lambda: not processes(name), "its processes have ended")
    managers.remove_leftovers()
    assert left(name) == []
