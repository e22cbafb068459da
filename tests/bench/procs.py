"""Processes: start them pinned, read what the kernel knows of them, end them whatever happens."""

import contextlib
import ctypes
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

PROC = pathlib.Path("/proc")
PR_SET_PDEATHSIG = 1
CPUCLOCK_SCHED = 2
STOP_GRACE_S = 15  # longer than ticketd's SHUTDOWN_TIMEOUT
libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """What the user is told instead of a traceback."""


class CommandError(BenchError):
    """A program that ended with another exit status than 0."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


def raise_descriptor_limit():
    """Ten thousand connections need as many descriptors here and in the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def end_on_signals():
    """SIGTERM and SIGHUP end the tool as Ctrl-C does: by unwinding, which stops every process."""

    def leave(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def free_port():
    """A port below the range that outgoing connections take theirs from: no client can hold it."""
    for _ in range(1000):
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise BenchError("no free TCP port between 20000 and 32000")


def program(name):
    """Where a program is, or None.  Servers may lie where only root's PATH leads."""
    paths = [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(paths))


# ---- what /proc says -----------------------------------------------------------------------------


def parents():
    """{pid: its parent's pid} of every process."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The command in parentheses may hold anything: the fields begin after the last ')'.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                found[int(entry.name)] = int(fields[1])
    return found


def tree(root):
    """The process and all its descendants, parents first."""
    by_parent = {}
    for pid, parent in parents().items():
        by_parent.setdefault(parent, []).append(pid)
    pids = [root] if (PROC / str(root)).exists() else []
    for pid in pids:
        pids.extend(sorted(by_parent.get(pid, [])))
    return pids


def title(pid):
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return "(gone)"
    text = " ".join(word.decode(errors="replace") for word in words)
    # A title set by the process stands alone; a command line begins with a path that says little.
    return text if text.startswith("ticketd: ") else os.path.basename(text.split(" ")[0])


def cpu_ns(pids):
    """Nanoseconds on a CPU, all threads of all these processes, those that have ended included."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            # The kernel's clock of another process: its number, negated, above what kind of clock.
            total += time.clock_gettime_ns(~pid << 3 | CPUCLOCK_SCHED)
    return total


def ended_children_s(pid):
    """CPU seconds of the children that the process has waited for, to a hundredth of a second."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def busy_s():
    """Seconds that the machine's CPUs were not idle since boot."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(field) for field in (PROC / "stat").read_text().split("\n")[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(cpus, patience_s):
    """Waits for a second in which less than so many CPUs are busy, but no longer than it has
    patience."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        before = busy_s()
        time.sleep(1)
        if busy_s() - before < cpus:
            return


def memory_kib(pid):
    """{"private", "anonymous", "pss", "rss", "shared_maps"}: anonymous is what the process itself
    has allocated, whoever else maps the same libraries; shared_maps is the part of private that lies
    in shared mappings and counts as private only because no other process has touched those pages.
    """
    sums = {"Private_Clean": 0, "Private_Dirty": 0, "Anonymous": 0, "Pss": 0, "Rss": 0}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in sums:
            sums[name] += int(rest.split()[0])
    in_shared_maps, shared = 0, False
    for line in (PROC / str(pid) / "smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            shared = words[1].endswith("s")
        elif shared and words[0] in ("Private_Clean:", "Private_Dirty:"):
            in_shared_maps += int(words[1])
    return {
        "private": sums["Private_Clean"] + sums["Private_Dirty"],
        "anonymous": sums["Anonymous"],
        "pss": sums["Pss"],
        "rss": sums["Rss"],
        "shared_maps": in_shared_maps,
    }


def pss_kib(pids):
    """Memory of all of them, what they share with each other or with others divided; one that has
    ended since, as PostgreSQL's helpers do, has none."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += memory_kib(pid)["pss"]
    return total


def write_count(pid):
    """How many writes its system calls have made."""
    return int(re.search(r"syscw: (\d+)", (PROC / str(pid) / "io").read_text())[1])


def descriptor_count(pid):
    return len(os.listdir(PROC / str(pid) / "fd"))


def socket_inodes(pid):
    inodes = set()
    for entry in (PROC / str(pid) / "fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(entry)
            if target.startswith("socket:["):
                inodes.add(int(target[8:-1]))
    return inodes


def established_inodes(port):
    """Inodes of the server's ends of the established connections to 127.0.0.x:port; 0 are those
    that it has not accepted yet."""
    inodes = set()
    for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "01" and int(fields[1].split(":")[1], 16) == port:
            inodes.add(int(fields[9]))
    return inodes


# ---- start and end -------------------------------------------------------------------------------


def _prepare_child(cpus):
    def prepare():
        if cpus:
            os.sched_setaffinity(0, cpus)
        # Should this tool be killed outright, the kernel ends what it had started.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return prepare


def _kill_group(process):
    """Kills what is left of the session and waits until it is gone (or only zombies are left)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for _ in range(100):
            os.killpg(process.pid, 0)
            time.sleep(0.01)
    process.wait()


class Started:
    """Processes started together; leaving the `with` block ends them and everything they forked."""

    def __init__(self, commands, environment=None, cpus=None, output=None):
        self.commands = commands
        self.environment = {**os.environ, **(environment or {})}
        self.cpus = cpus
        self.output = output or subprocess.DEVNULL
        self.processes = []

    def __enter__(self):
        try:
            for command in self.commands:
                self.processes.append(
                    subprocess.Popen(
                        command,
                        env=self.environment,
                        stdin=subprocess.DEVNULL,
                        stdout=self.output,
                        stderr=self.output,
                        start_new_session=True,  # Ctrl-C reaches this tool alone
                        preexec_fn=_prepare_child(self.cpus),
                    )
                )
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_reason):
        self.stop()

    def pids(self):
        return [pid for process in self.processes for pid in tree(process.pid)]

    def exited(self):
        return any(process.poll() is not None for process in self.processes)

    def stop(self):
        """SIGTERM, time to end, SIGKILL to what is left; a second Ctrl-C does not cut it short."""
        on_interrupt = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for process in reversed(self.processes):
                if process.poll() is None:
                    process.terminate()
            deadline = time.monotonic() + STOP_GRACE_S
            for process in self.processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
                _kill_group(process)
            self.processes = []
        finally:
            signal.signal(signal.SIGINT, on_interrupt)


def run(command, timeout_s, cpus=None, environment=None):
    """One program to its end; its standard output, or a BenchError with what it said."""
    with subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_prepare_child(cpus),
    ) as process:
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise CommandError(
            f"{command[0]} ended with {process.returncode}:\n{said.strip()}", process.returncode
        )
    return said
