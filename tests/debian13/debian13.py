#!/usr/bin/env python3
"""A Debian 13 in a folder of its own, with the last commit in it.

    tests/debian13/debian13.py --why-not      (says why not here, or fails)

debootstrap makes it, from the mirror that this machine uses itself; apt of this machine is only asked.
Every command in it, debootstrap too, has mounts and processes of its own, which end with the command
or with the test, and, unless it has to download packages, no network but its own loopback.
`Debian13.close` removes the folder; what a killed test left behind, the next one removes.
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

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "ticketd-debian13-"
TREE = "/root/ticketd"
# What it grows to, and as much again.
FREE_BYTES = 4 << 30
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)

# What has to be there, and the Debian package that brings it.
PROGRAMS = {
    "apt-get": "apt",
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "curl": "curl",
    "git": "git",
}

ENTER = r"""
set -eu
cd "$1"
shift
mount -t proc proc proc
mount -t tmpfs run run
mount -t tmpfs shm dev/shm
mkdir -p dev/pts
mount -t devpts -o ptmxmode=0666 devpts dev/pts
ip link set lo up
exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
"""


def output_of(*command):
    """What a command on this machine prints."""
    return subprocess.run([str(word) for word in command], check=True, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE).stdout


def _release_of(uri, suite):
    """The signed description of an archive's suite, or nothing. apt knows the way through a proxy."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        file = Path(folder) / "InRelease"
        subprocess.run(["/usr/lib/apt/apt-helper", "download-file", f"{uri}dists/{suite}/InRelease", file], check=False,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return file.read_text() if file.exists() else ""


def mirror_of(suite, label):
    """The URI under which this machine finds Debian's archive with that label, if the suite is there too."""
    uris = output_of("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main")
    for uri in dict.fromkeys(uris.split()):
        if {"Origin: Debian", f"Label: {label}"} <= set(_release_of(uri, suite).splitlines()):
            return uri
    return None


def why_not():
    """Why this machine cannot make a Debian 13, or None."""
    if os.geteuid() != 0:
        return "only root may make a Debian 13"
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"there is no {program} here (Debian: {package})"
    if subprocess.run(["git", "-C", ROOT, "rev-parse", "--quiet", "--verify", "HEAD"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return "this is not a clone: there is no commit to try"
    if subprocess.run(["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "true"],
                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return "no namespaces can be made"
    if shutil.disk_usage(tempfile.gettempdir()).free < FREE_BYTES:
        return f"{tempfile.gettempdir()} has less than {FREE_BYTES >> 30} GiB left"
    if mirror_of("trixie", "Debian") is None:
        return "none of this machine's package sources is a mirror of Debian 13 that can be reached"
    return None


def die_with_test():
    # unshare takes its children along
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def remove(folder):
    """Of a folder that a test has made: all of it, unless something is mounted there."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [mount for mount in mounts if mount.startswith(str(folder))]
    assert not below, f"{below} are still mounted"
    shutil.rmtree(folder)


def remove_leftovers():
    """A test that was killed had no chance to."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        creator = re.fullmatch(re.escape(PREFIX) + r"(\d+)", folder.name)
        if creator and not os.path.exists(f"/proc/{creator[1]}"):
            remove(folder)


class Debian13:
    def __init__(self):
        remove_leftovers()
        self.folder = Path(tempfile.gettempdir()).resolve() / f"{PREFIX}{os.getpid()}"
        self.root = self.folder / "root"
        self.processes = []
        self.root.mkdir(parents=True)
        try:
            self._bootstrap()
            output_of("git", "clone", "--quiet", "--no-hardlinks", ROOT, f"{self.root}{TREE}")
        except BaseException:
            self.close()
            raise

    def _bootstrap(self):
        # certificates: for a mirror behind TLS
        self._finish(self._start(["debootstrap", "--variant=minbase", "--include=ca-certificates", "trixie", self.root,
                                  mirror_of("trixie", "Debian")], network=True))
        apt = self.root / "etc/apt"
        # debootstrap has written the archive in one line; this is the other form.
        security = mirror_of("trixie-security", "Debian-Security")
        if security:
            (apt / "sources.list.d/security.sources").write_text(
                f"Types: deb\nURIs: {security}\nSuites: trixie-security\nComponents: main\n"
                "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n")
        (apt / "apt.conf.d/90test").write_text(output_of("apt-config", "dump", "--format", '%f "%v";%n', "Acquire"))
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")

    def _start(self, command, network=False):
        namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if not network:
            namespaces.append("--net")
        # A file, not a pipe: nobody has to read while it runs.
        log = tempfile.TemporaryFile(mode="w+", dir=self.folder, errors="replace")
        process = subprocess.Popen(["unshare", *namespaces, *map(str, command)], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, preexec_fn=die_with_test, text=True)
        process.log = log
        self.processes.append(process)
        return process

    def _finish(self, process, check=True):
        try:
            process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        output = self.output(process)
        assert not check or process.returncode == 0, f"{process.args} exited with {process.returncode}:\n{output}"
        return output

    @staticmethod
    def output(process):
        process.log.seek(0)
        return process.log.read()

    def start(self, *command, network=False):
        """Runs a command in the tree, inside, and does not wait for it."""
        return self._start(["sh", "-c", ENTER, "-", self.root, "sh", "-c", f'cd {TREE} && exec "$@"', "-", *command],
                           network)

    def run(self, *command, network=False, check=True):
        """The same, and its output once it has ended."""
        return self._finish(self.start(*command, network=network), check)

    def stop(self, process):
        """Ctrl-C for a command that was started. What it printed; its exit status must be 0."""
        os.kill(self.leader(process), signal.SIGINT)
        return self._finish(process)

    @staticmethod
    def leader(process):
        """The process to which a command that was started has come: the first in its namespaces."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (pids := children.read_text().split()):
            assert process.poll() is None, f"{process.args} ended at once:\n{Debian13.output(process)}"
            time.sleep(0.01)
        return int(pids[0])

    def curl(self, process, *arguments):
        """Asks on the loopback of a command that was started, once it listens."""
        try:
            return output_of("nsenter", "-t", self.leader(process), "--net", "curl", "-s", "--retry", 120,
                             "--retry-delay", 1, "--retry-all-errors", *arguments)
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"{process.args} does not answer:\n{self.output(process)}") from error

    def exists(self, path):
        return (self.root / path.lstrip("/")).exists()

    def close(self):
        """Ends what runs in it and removes it. May run twice."""
        for process in self.processes:
            process.kill()
            process.wait()
            process.log.close()
        self.processes.clear()
        with suppress(FileNotFoundError):
            remove(self.folder)


def main():
    if sys.argv[1:] != ["--why-not"]:
        sys.exit("usage: debian13.py --why-not")
    reason = why_not()
    print(reason or "nothing is in the way")
    return 0 if reason else 1


if __name__ == "__main__":
    sys.exit(main())
