#!/usr/bin/env python3
"""A systemd of its own, as PID 1 of a private container, for the tests of the units.

    tests/systemd/manager.py BUILD_DIR [COMMAND...]      (a shell without a COMMAND; as root)
    tests/systemd/manager.py --why-not                   (says why not here, or fails)

The container sees an overlay of this machine's own root, in which `meson install` has put what the
build directory has; what it writes is kept in memory and goes when it ends. It has no network but
its own loopback. systemd-nspawn makes it, in cgroups of its own; nothing on this machine has to run
systemd. `Manager.close` leaves no process, mount, cgroup or file; what a killed test left behind,
the next one removes.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "ticketd-test-"
CGROUPS = Path("/sys/fs/cgroup")
BOOT_S = 60
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

# What has to be there, and the Debian package that brings it.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "systemd-analyze": "systemd",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "meson": "meson",
}

# In a mount namespace of its own: the machine's root under an overlay, what was installed in it, and
# only what a service needs to start.
SET_UP = r"""
set -eu
mount -t tmpfs -o size=1g,mode=755 ticketd-test "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
[ -n "${2-}" ] || exit 0
tar -C "$2" -c . | tar -C "$1/root" -x --keep-directory-symlink --no-same-owner
cd "$1/root"
rm -rf etc/systemd/system/*.wants var/log/journal etc/machine-id
: >etc/fstab
systemd-id128 new >etc/machine-id
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >etc/systemd/system/test.target
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >etc/systemd/journald.conf
[ ! -e usr/lib/sysusers.d/ticketd.conf ] || systemd-sysusers --root="$1/root" ticketd.conf
exec systemd-nspawn --quiet --directory=. --boot --machine="$3" --register=no --keep-unit \
    --private-network --link-journal=no --system-call-filter=bpf systemd.unit=test.target
"""


def unified():
    """Where the version 2 hierarchy is: also beside those of version 1."""
    both = CGROUPS / "unified"
    return both if both.is_dir() else CGROUPS


def hierarchies():
    named = CGROUPS / "systemd"
    return [unified()] + ([named] if named.is_dir() else [])


def why_not():
    """Why this machine allows no such container, or None."""
    if os.geteuid() != 0:
        return "only root may make a container"
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"there is no {program} here (Debian: {package})"
    if not (unified() / "cgroup.procs").exists():
        return f"there is no cgroup hierarchy of version 2 at {unified()}"
    cgroup = unified() / f"{PREFIX}{os.getpid()}-probe"
    try:
        cgroup.mkdir()
        cgroup.rmdir()
    except OSError as error:
        return f"no cgroup can be made: {error}"
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", SET_UP, "-", folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        return "an overlay of this machine's root cannot be mounted: " + done.stdout.strip().replace("\n", "; ")
    return None


def wait_for(condition, seconds):
    """Polls; the last value."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value


def remove_cgroup(name):
    for hierarchy in hierarchies():
        # From the leaves up.
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)


def remove(name):
    """All that a container of that name may have left, once its processes are gone."""
    with suppress(OSError):
        (unified() / name / "cgroup.kill").write_text("1")
    events = unified() / name / "cgroup.events"
    wait_for(lambda: not events.exists() or "populated 0" in events.read_text(), 5)
    remove_cgroup(name)
    with suppress(OSError):
        os.rmdir(f"/run/systemd/nspawn/propagate/{name}")
    with suppress(OSError):
        os.unlink(f"/run/systemd/nspawn/unix-export/{name}")
    shutil.rmtree(Path(tempfile.gettempdir()) / name, ignore_errors=True)


def remove_leftovers():
    """A test that was killed had no chance to."""
    for cgroup in unified().glob(PREFIX + "*"):
        creator = re.fullmatch(re.escape(PREFIX) + r"(\d+)(-probe)?", cgroup.name)
        if creator and not os.path.exists(f"/proc/{creator[1]}"):
            remove(cgroup.name)


class Manager:
    """One booted container. `build` is the build directory that is installed in it."""

    def __init__(self, build):
        remove_leftovers()
        self.name = f"{PREFIX}{os.getpid()}"
        self.folder = Path(tempfile.gettempdir()) / self.name
        self.leader = None
        self.process = None
        self.folder.mkdir()
        try:
            self._install(Path(build).absolute())
            self._boot()
        except BaseException:
            self.close()
            raise

    def _install(self, build):
        self.stage = self.folder / "stage"
        subprocess.run(
            ["meson", "install", "-C", build, "--no-rebuild", "--quiet"], check=True, text=True,
            env={**os.environ, "DESTDIR": str(self.stage)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def _prepare_child(self):
        # nspawn ends its container in order when it is told to; killed, it would leave it behind.
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        for hierarchy in hierarchies():
            (hierarchy / self.name / "cgroup.procs").write_text(str(os.getpid()))

    def _boot(self):
        root = self.folder / "root"
        root.mkdir()
        for hierarchy in hierarchies():
            (hierarchy / self.name).mkdir()
        self.log = open(self.folder / "log", "w+b")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", SET_UP, "-", root, self.stage, self.name],
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, preexec_fn=self._prepare_child, start_new_session=True)
        self.leader = wait_for(self._find_leader, BOOT_S)
        if not self.leader or not wait_for(self._has_booted, BOOT_S):
            raise RuntimeError("the container did not boot:\n" + self._log_text())

    def _find_leader(self):
        assert self.process.poll() is None, "the container ended:\n" + self._log_text()
        with suppress(OSError):
            pids = (unified() / self.name / "payload/init.scope/cgroup.procs").read_text().split()
            return int(pids[0]) if pids else None
        return None

    def _has_booted(self):
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def _log_text(self):
        return (self.folder / "log").read_text(errors="replace")

    def run(self, *command, check=True, **more):
        """Runs a command in the container; its output is text."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", "--", *map(str, command)], check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        if check and done.returncode != 0:
            raise AssertionError(f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    @property
    def root(self):
        """The container's files, as this process can open them."""
        return Path(f"/proc/{self.leader}/root")

    def enter_network(self):
        """This thread, and those that it starts, speak on the container's loopback from now on. Returns what undoes
        that when it is called."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        other = os.open(f"/proc/{self.leader}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        def enter(namespace):
            if LIBC.setns(namespace, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            os.close(namespace)
        enter(other)
        return lambda: enter(own)

    def close(self):
        """Ends the container. May run twice."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                # its PID 1 first, which takes all others of the container along
                with suppress(OSError):
                    os.kill(self.leader or self.process.pid, signal.SIGKILL)
                self.process.kill()
                self.process.wait()
            self.log.close()
        remove(self.name)


def main():
    reason = why_not()
    if sys.argv[1:] == ["--why-not"]:
        print(reason or "nothing is in the way")
        return 0 if reason else 1
    if reason:
        sys.exit(f"manager.py: {reason}")
    manager = Manager(sys.argv[1])
    try:
        command = sys.argv[2:] or ["bash", "-i"]
        return subprocess.run(["nsenter", "-t", str(manager.leader), "-a", "--", *command], check=False).returncode
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        manager.close()


if __name__ == "__main__":
    sys.exit(main())
