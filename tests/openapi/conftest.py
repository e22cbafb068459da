"""Fixtures of the tests of OpenAPI: they run the real binary as the integration tests do."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from described import Described, running  # noqa: E402
from harness import POOLS  # noqa: E402


@pytest.fixture(scope="module")
def server():
    with running() as shared:
        yield shared


@pytest.fixture(scope="module", params=POOLS)
def described(server, request):
    return Described(server, request.param)
