"""What the disk itself takes: the least that any durable answer must wait for."""

import os
import statistics
import tempfile
import time

from .procs import BenchError

BYTES = 4096
SYNCS = 300
# A file system in memory syncs in no time, and every figure about durability would be a lie.
IN_MEMORY = ("tmpfs", "ramfs")


def file_system(folder):
    """The type of the file system that the folder is on, as the kernel's table of mounts has it."""
    found, longest = "unknown", -1
    path = os.path.realpath(folder)
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _device, at, kind = line.split()[:3]
            inside = path == at or path.startswith(at.rstrip("/") + "/")
            if inside and len(at) >= longest:
                found, longest = kind, len(at)
    return found


def require_disk(folder):
    kind = file_system(folder)
    if kind in IN_MEMORY:
        raise BenchError(f"{folder} is on {kind}, not on a disk: --scratch names another place")
    return kind


def sync_us(folder, syncs=SYNCS):
    """Microseconds of one sync: 4 KiB appended, then fdatasync(2); the median of some hundred."""
    times = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        piece = os.urandom(BYTES)
        for _ in range(syncs):
            began = time.perf_counter_ns()
            file.write(piece)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


def forget_cached(path):
    """Drops what the kernel keeps of the file in memory, so that it is read from the disk again."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
