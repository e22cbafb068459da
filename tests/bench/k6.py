"""k6: the load that clients' own scripts are written for."""

import os
import shutil

HINT = "https://k6.io; go install go.k6.io/k6@latest"


def find():
    """The binary: K6, else k6 in PATH, else where Go puts it; None without one."""
    names = [os.environ["K6"]] if "K6" in os.environ else ["k6", os.path.expanduser("~/go/bin/k6")]
    return next((found for found in map(shutil.which, names) if found), None)


def command(k6, script, variables, options=()):
    """`variables` are what the script reads from __ENV."""
    words = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    # No report to k6's makers; no control port for others to find.
    return [k6, "run", "--no-usage-report", "--address", "", *words, *options, str(script)]
