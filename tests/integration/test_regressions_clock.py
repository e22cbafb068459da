"""Somebody sets the wall clock: no worker is killed, and no limit of time stops acting or acts at once."""

import email.utils
import time

import pytest

from harness import AVAILABLE, RESERVE, request_bytes, stays
from surroundings import preload


def wall_shift(server):
    """By how much the server's clock differs from ours, as its Date header tells."""
    date = server.ask("GET", AVAILABLE)["Date"]
    return email.utils.parsedate_to_datetime(date).timestamp() - time.time()


@pytest.mark.parametrize("shift_s", [-3600, 3600], ids=["back", "forward"])
def test_wall_clock_is_set(start, tmp_path, shift_s):
    flag = tmp_path / "shift"
    shimmed = preload(tmp_path, "clock", TEST_WALL_SHIFT=flag)
    # one server whose limits are near, and one whose limits are far
    near = start(KEEPALIVE_TIMEOUT=2, REQUEST_TIMEOUT=2, **shimmed)
    far = start(KEEPALIVE_TIMEOUT=600, REQUEST_TIMEOUT=600, **shimmed)
    workers = near.workers(), far.workers()
    data = request_bytes("POST", RESERVE, {"qty": 1})

    def clients_of(server):
        idle, half, mute = server.connect(), server.connect(), server.connect()
        assert idle.ask("GET", AVAILABLE).status == 200
        half.send(data[:-1])
        return idle, half, mute

    early, lasting = clients_of(near), clients_of(far)
    assert early[1].silent(0.1)
    flag.write_text(str(shift_s))
    since = time.monotonic()
    assert abs(wall_shift(near) - shift_s) < 600 and abs(wall_shift(far) - shift_s) < 600, "the shim does not act"
    late = clients_of(near)
    for client in (*early, *late):
        assert client.rest() == b""
        client.close()
    # longer than a worker's heartbeat may stand still
    stays(lambda: (near.workers(), far.workers()) == workers, "the workers live",
          since + 6.5 - time.monotonic(), step_s=0.1)
    idle, half, mute = lasting
    for client in (idle, mute):
        assert client.ask("POST", RESERVE, {"qty": 1}).status == 200
    half.send(data[-1:])
    assert half.answer().json()["success"] is True
    for client in lasting:
        client.close()
    # and a drain has its end
    near.stop()
    far.stop()
