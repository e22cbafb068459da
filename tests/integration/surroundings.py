"""Odd surroundings to start a server in: libraries preloaded into it, a parent that has set things.

* `preload`  settings that load one of shims/*.c into the server; skips the test without a compiler
* `wrapper`  a program that does something to itself and then becomes the server
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import binary

SHIMS = Path(__file__).resolve().parent / "shims"


def preload(folder, *names, **variables):
    """`folder` gets the libraries; `variables` are what the shims read."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C compiler here")
    libraries = []
    for name in names:
        library = Path(folder) / f"{name}.so"
        subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIMS / f"{name}.c")], check=True)
        libraries.append(str(library))
    # A sanitizer insists on being the first library unless told otherwise.
    options = [os.environ.get("ASAN_OPTIONS", ""), "verify_asan_link_order=0"]
    return {
        "LD_PRELOAD": " ".join(libraries + os.environ.get("LD_PRELOAD", "").split()),
        "ASAN_OPTIONS": ":".join(filter(None, options)),
        **{name: str(value) for name, value in variables.items()},
    }


def wrapper(folder, preparation):
    """`preparation` is Python, and runs in the process that becomes the server."""
    path = Path(folder) / "wrapper"
    path.write_text(
        f"#!{sys.executable} -IS\nimport os, resource, signal, sys\n{preparation}\n"
        f"os.execv({binary()!r}, [{binary()!r}, *sys.argv[1:]])\n")
    path.chmod(0o700)
    return str(path)
