"""Where things are, and programs that may be missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TICKETD = os.environ.get("TICKETD", str(ROOT / "build/ticketd"))
TICKETCTL = os.environ.get("TICKETCTL", str(ROOT / "build/ticketctl"))
DOCUMENTS = os.environ.get("TICKETD_DOCUMENTS", str(ROOT / "build/src/documents/ticketd-documents"))
COMPLETIONS = Path(os.environ.get("TICKETD_COMPLETIONS", str(ROOT / "build/conf/completion")))


def tool(name):
    """Where a program is; skips the test without it."""
    fetched = ROOT / "build-tools" / name
    found = str(fetched) if os.access(fetched, os.X_OK) else shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    return found


def run(*command, **options):
    """A finished command, with its output as text."""
    return subprocess.run([str(word) for word in command], text=True, capture_output=True, check=False, timeout=60,
                          **options)


def succeed(*command, **options):
    """Its standard output; fails the test unless it ended well."""
    done = run(*command, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def document(part):
    """A part that ticketd-documents prints."""
    return succeed(DOCUMENTS, part)
