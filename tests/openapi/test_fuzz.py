"""schemathesis reads the document and asks for all that it describes, rightly and wrongly: no 5xx, no
status, type, header or body that is not described, nothing wrong accepted, nothing right refused.

schemathesis.toml has its settings, and what is left out with the reasons.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from described import DOCUMENT, Described, running
from harness import POOLS

HERE = Path(__file__).resolve().parent
# Requests, at least: fewer were not generated from the whole document.
CASES_MIN = 200


# Each pool on a server of its own, so that there is something to sell.
@pytest.mark.parametrize("pool", POOLS)
def test_fuzz(pool, tmp_path):
    with running() as server:
        described = Described(server, pool)
        before = server.available()
        run = subprocess.run(
            [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(HERE / "schemathesis.toml"),
             "run", described.address.url + DOCUMENT, "--url", described.address.url, "--no-color"],
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
        assert run.returncode == 0, run.stdout
        count = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
        assert count and count[1] == count[2] and int(count[1]) >= CASES_MIN, run.stdout
        print(f"{pool}: {count[1]} requests")
        # it has been right sometimes, too
        assert server.available() < before
