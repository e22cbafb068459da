"""Buyers for the dashboard to show: k6 with tests/load/ticket-system.js where it is, else the harness's own."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import harness

SCRIPT = Path(__file__).resolve().parents[1] / "load" / "ticket-system.js"


def find_k6():
    names = [os.environ["K6"]] if "K6" in os.environ else ["k6", os.path.expanduser("~/go/bin/k6")]
    return next((found for found in map(shutil.which, names) if found), None)


@contextlib.contextmanager
def _k6(program, server):
    process = subprocess.Popen(
        [program, "run", "--quiet", "--no-summary", "--no-usage-report", "-e", f"TICKET_URL={server.ticket_url}",
         "-e", f"VACANCY_URL={server.vacancy_url}", "-e", "DURATION=60s", "-e", "AVAILABLE_VUS=4",
         "-e", "PURCHASE_VUS=4", "-e", "PAUSE_MS=10", str(SCRIPT)],
        env=harness.child_environment({}), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=harness._die_with_the_test)
    try:
        yield
        assert process.poll() is None, f"k6 ended by itself with {process.returncode}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(harness.DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def buying(server):
    """A context in which somebody buys all the time."""
    program = find_k6()
    print(f"buyers: {program or 'of the harness'}")
    if program:
        return _k6(program, server)
    return harness.Load(server, connections=4, path=harness.PURCHASE, pause_s=0.01)
