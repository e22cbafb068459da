"""What a stranger must know of the machine to judge a figure: its CPU and how it is slowed or
shared, its disk, and the versions of all that is measured.

What cannot be known is said to be so; nothing here names the machine or a place on it."""

import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import time

from . import disk, postgres
from .peers import servers

CPUS = pathlib.Path("/sys/devices/system/cpu")
BLOCK = pathlib.Path("/sys/dev/block")
UNKNOWN = "unknown"
ABSENT = "not installed"


def _text(path):
    """A small file of the kernel's, or None."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _first_line(command):
    """What a program says of itself, wherever it says it."""
    if shutil.which(command[0]) is None:
        return ABSENT
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else UNKNOWN


def _library(name):
    version = _first_line(["pkg-config", "--modversion", name])
    return version if re.match(r"\d", version) else "not found by pkg-config"


def _h2o_version():
    """libh2o's pkg-config file carries the shared object's number; the header has the release."""
    header = pathlib.Path("/usr/include/h2o/version.h")
    if header.exists():
        found = re.search(r'H2O_VERSION "([^"]+)"', header.read_text(encoding="utf-8"))
        if found:
            return found[1]
    return "subproject, or " + _library("libh2o-evloop")


def _build_options(build):
    done = subprocess.run(
        ["meson", "introspect", "--buildoptions", str(build)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return UNKNOWN
    values = {option["name"]: option["value"] for option in json.loads(done.stdout)}
    wanted = ("buildtype", "optimization", "b_lto", "b_sanitize", "c_args")
    return ", ".join(f"{name}={values.get(name)}" for name in wanted)


# ---- the CPU -------------------------------------------------------------------------------------


def _cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def mitigations(folder=CPUS / "vulnerabilities"):
    """Which of the kernel's defences cost time here, and which holes are left open."""
    on, still_open = [], []
    for file in sorted(folder.glob("*")):
        said = _text(file) or ""
        if said.startswith("Mitigation"):
            on.append(file.name)
        elif said.startswith("Vulnerable"):
            still_open.append(file.name)
    if not folder.is_dir():
        return UNKNOWN
    parts = [f"{', '.join(on) or 'none'} on"]
    return "; ".join(parts + ([f"{', '.join(still_open)} open"] if still_open else []))


def _governor():
    found = {_text(path) for path in CPUS.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(filter(None, found))) or "not shown"


def _virtualisation():
    if shutil.which("systemd-detect-virt"):
        kinds = (_first_line(["systemd-detect-virt", f"--{kind}"]) for kind in ("vm", "container"))
        return "machine: {}, container: {}".format(*kinds)
    seen = re.search(r"^flags\s*:.*\bhypervisor\b", _text("/proc/cpuinfo") or "", re.MULTILINE)
    return "a virtual machine" if seen else "none seen"


def _memory():
    found = re.search(r"^MemTotal:\s*(\d+) kB", _text("/proc/meminfo") or "", re.MULTILINE)
    return f"{int(found[1]) / 2**20:.1f} GiB" if found else UNKNOWN


def _distribution():
    return platform.freedesktop_os_release().get("PRETTY_NAME", UNKNOWN)


# ---- the disk ------------------------------------------------------------------------------------


def block_device(folder, devices=BLOCK):
    """What the kernel says of the device under the folder: name, driver, model, kind, cache."""
    number = os.stat(folder).st_dev
    device = devices / f"{os.major(number)}:{os.minor(number)}"
    if not device.exists():
        return "no device of its own"
    device = device.resolve()
    # A partition's queue is its disk's.
    whole = device if (device / "queue").is_dir() else device.parent
    words = [whole.name]
    if model := _text(whole / "device/model"):
        words.append(model)
    driver = (whole / "device/driver").resolve().name
    words += [driver] if driver != "driver" else []
    # A virtual disk passes for a rotating one whatever is under it.
    if not driver.startswith("virtio"):
        words.append("rotating" if _text(whole / "queue/rotational") == "1" else "not rotating")
    if cache := _text(whole / "queue/write_cache"):
        words.append(cache)
    return ", ".join(words)


def _disk(folder):
    """In one line, with the least that a durable answer waits for."""
    described = f"{disk.file_system(folder)} on {block_device(folder)}"
    return f"{described}, one sync takes {disk.sync_us(folder):.0f} µs (median)"


# ---- what ticketd is compared with ---------------------------------------------------------------


def version_in(line):
    """Only the number, of a line such as `nginx version: nginx/1.22.1`."""
    found = re.search(r"\d+(\.\d+)+", line)
    return found[0] if found else line


def _version(command):
    return version_in(_first_line(command))


def package_version(name, venv):
    """Of a Python package in that environment, read from its folder's name."""
    found = venv.glob(f"lib/python*/site-packages/{name}-*.dist-info")
    return next((path.name.split("-")[1].removesuffix(".dist") for path in found), ABSENT)


def _peers():
    """{peer: its version}, of those that are here."""
    venv = pathlib.Path(servers.UVICORN).parents[1]
    found = {
        "nginx": _version([servers.NGINX, "-v"]),
        "Redis": _version([servers.REDIS, "--version"]),
        "PostgreSQL": _version([postgres.program("postgres") or "postgres", "--version"]),
        "Python": _version([str(venv / "bin/python"), "--version"]),
        **{name: package_version(name, venv) for name in ("fastapi", "uvicorn")},
        "k6": _version(["k6", "version"]),
    }
    return {name: version for name, version in found.items() if version != ABSENT}


# ---- all of it -----------------------------------------------------------------------------------


def machine(bench):
    """{what: a line about it}; takes a moment, for it syncs the disk some hundred times."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "commit": _first_line(["git", "describe", "--always", "--dirty"]),
        "cpu": _cpu_model(),
        "cpus usable": len(os.sched_getaffinity(0)),
        "server's cpu": bench.server_cpu,
        "load's cpu": bench.load_cpu,
        "governor": _governor(),
        "mitigations": mitigations(),
        "virtualisation": _virtualisation(),
        "memory": _memory(),
        "disk": _disk(bench.scratch),
        "kernel": platform.release(),
        "system": _distribution(),
        "libh2o": _h2o_version(),
        "cJSON": _library("libcjson"),
        "libbsd": _library("libbsd"),
        "SQLite": _library("sqlite3"),
        "libc": " ".join(platform.libc_ver()),
        "compiler": _first_line(["cc", "--version"]),
        "build": _build_options(bench.build),
        "wrk": _first_line(["wrk", "-v"]).partition("Copyright")[0].strip(),
        **_peers(),
    }
