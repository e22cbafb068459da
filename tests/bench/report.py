"""The machine's description, aligned tables, and the JSON file."""

import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import time


def say(text=""):
    print(text, flush=True)


def table(headers, rows):
    """Columns as wide as they need to be: the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    for number, row in enumerate(cells):
        line = [row[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        say("  ".join(line).rstrip())
        if number == 0:
            say("  ".join("-" * width for width in widths))
    say()


def goal(value, limit):
    """A goal beside its figure; missing one is a finding, never a failure."""
    return f"≤ {limit:g}: {'met' if value <= limit else 'MISSED'}"


def _first_line(command):
    if shutil.which(command[0]) is None:
        return "not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


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


def _cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _build_options(build):
    done = subprocess.run(
        ["meson", "introspect", "--buildoptions", str(build)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return "unknown"
    values = {option["name"]: option["value"] for option in json.loads(done.stdout)}
    wanted = ("buildtype", "optimization", "b_lto", "b_sanitize", "c_args")
    return ", ".join(f"{name}={values.get(name)}" for name in wanted)


def machine(bench):
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "commit": _first_line(["git", "describe", "--always", "--dirty"]),
        "cpu": _cpu_model(),
        "cpus usable": len(os.sched_getaffinity(0)),
        "server's cpu": bench.server_cpu,
        "load's cpu": bench.load_cpu,
        "kernel": platform.release(),
        "libh2o": _h2o_version(),
        "cJSON": _library("libcjson"),
        "libbsd": _library("libbsd"),
        "libc": " ".join(platform.libc_ver()),
        "compiler": _first_line(["cc", "--version"]),
        "build": _build_options(bench.build),
        "wrk": _first_line(["wrk", "-v"]).partition("Copyright")[0].strip(),
    }


def print_machine(facts):
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        say(f"{name.ljust(width)}  {value}")
    say()


def write_json(path, results):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2)
        file.write("\n")
