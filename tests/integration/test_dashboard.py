"""/dashboard and what it is told: where it is, where it is not, and that its figures are right.  How the page
looks and acts is tests/browser's."""

import json
import signal

import pytest

import harness
from harness import (AVAILABLE, POOLS, PURCHASE, SELL_PATH, STOCK_POOL, Client, alone, assert_problem, eventually,
                     request_bytes)

DASHBOARD, STREAM = "/dashboard", "/dashboard/stream"


class Stream:
    """Listens to a stream of server-sent events with one line of data each."""

    def __init__(self, address, path=STREAM, headers=()):
        self.client = Client(address)
        self.client.send(request_bytes("GET", path, headers=headers))
        self.rest = b""
        self.head = b""
        while b"\r\n\r\n" not in self.head:
            self.head += self._receive()
        self.head, _, self.rest = self.head.partition(b"\r\n\r\n")

    def _receive(self):
        chunk = self.client.sock.recv(65536)
        assert chunk, "the stream ended"
        return chunk

    def next(self):
        """The next object."""
        while True:
            line, end, rest = self.rest.partition(b"\n")
            if not end:
                self.rest += self._receive()
                continue
            self.rest = rest
            if line.startswith(b"data: "):
                return json.loads(line[len(b"data: "):])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()


def address_of(server, pool):
    return server._address_of(pool)


def ask(server, pool, method, path, headers=()):
    with Client(address_of(server, pool)) as client:
        return client.ask(method, path, headers=headers)


def listed(server, pool):
    return {endpoint["path"] for endpoint in ask(server, pool, "GET", "/").json()["endpoints"]}


# Each pool serves page, files and stream in development, strictly: nothing of others, no script of anybody's.
@pytest.mark.parametrize("pool", POOLS)
def test_served(server, pool):
    page = ask(server, pool, "GET", DASHBOARD)
    assert page.status == 200 and page["Content-Type"] == "text/html; charset=utf-8"
    policy = page["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert b"<script>" not in page.body and b" style=" not in page.body
    assert ask(server, pool, "GET", DASHBOARD, {"If-None-Match": page["ETag"]}).status == 304
    with Stream(address_of(server, pool)) as stream:
        assert b"text/event-stream" in stream.head.lower()
        assert stream.next()["role"] == pool
    assert {DASHBOARD, STREAM, "/assets/{name}"} <= listed(server, pool)


# Off by DASHBOARD, or outside development unless it says on: then there is no such path, and nothing tells of it.
@pytest.mark.parametrize("settings, there", [
    ({"DASHBOARD": "off"}, False),
    ({"ENVIRONMENT": "production"}, False),
    ({"ENVIRONMENT": "production", "DASHBOARD": "on"}, True),
], ids=["off", "production", "on"])
def test_setting(start, settings, there):
    server = alone(start)(**settings, DOCS="false", WORKERS=1)
    for path in DASHBOARD, STREAM:
        answer = ask(server, STOCK_POOL, "HEAD", path)
        assert answer.status == (200 if there else 404), (path, answer)
        assert (path in listed(server, STOCK_POOL)) == there
    assert ("/assets/{name}" in listed(server, STOCK_POOL)) == there
    if not there:
        assert_problem(ask(server, STOCK_POOL, "GET", DASHBOARD), 404, "not_found")


# A reload takes the setting over.
def test_setting_live(start):
    server = alone(start)(config={"DASHBOARD": "off", "WORKERS": 1})
    assert ask(server, STOCK_POOL, "HEAD", DASHBOARD).status == 404
    server.write_config({"DASHBOARD": "on", "WORKERS": 1})
    old = server.workers()
    server.send_signal(signal.SIGHUP)
    server.wait_workers(1, without=old)
    eventually(lambda: ask(server, STOCK_POOL, "HEAD", DASHBOARD).status == 200, "it is there")


# After known requests each pool's stream tells exactly these, by whichever worker it comes; what one pool did is
# not told by the other; and the rates are those of the last second.
def test_figures(start):
    server = start(INITIAL_STOCK=20)
    with Stream(address_of(server, STOCK_POOL)) as stock, Stream(address_of(server, POOLS[-1])) as seller:
        assert stock.next()["stock"] == {"available": 20, "capacity": 20, "sold": 0}
        first = seller.next()
        assert "rate" not in first and first["total"]["sales"] == 0
        key = {"Idempotency-Key": '"one"'}
        for body, headers in ({"qty": 7}, key), ({"qty": 7}, key), ({"qty": 8}, ()), ({"qty": 99}, ()):
            assert server.ask("POST", PURCHASE, body, headers).status == 200

        def until(stream, done):
            while True:
                told = stream.next()
                if done(told):
                    return told

        told = until(stock, lambda told: told["total"]["tickets"] == 15)
        assert told["stock"] == {"available": 5, "capacity": 20, "sold": 15}
        assert told["ready"] and told["keeper"]["state"] == "running"
        assert told["total"]["sales"] == 2 and told["total"]["errors"] == told["total"]["refused"] == 0
        event, = told["events"]
        assert event["event"] == "default" and event["available"] == 5
        assert told["workers"] == [
            {"pool": pool, "starting": 0, "serving": 2, "draining": 0, "died": 0} for pool in POOLS]

        told = until(seller, lambda told: told["total"]["sold_out"] == 1)
        assert (told["total"]["sales"], told["total"]["replays"]) == (2, 1)
        assert ("hop" in told) == harness.MICROSERVICES == ("stock" not in told)
        told = until(seller, lambda told: told["rate"]["sales"] == told["rate"]["sold_out"] == 0)
        assert "sales" not in told["latency"]


# The rates and percentiles of a second under load fit what was sold in it.
def test_rates(start):
    server = start()
    with Stream(address_of(server, POOLS[-1])) as stream, harness.Load(server, path=SELL_PATH) as load:
        load.wait_answers(100)
        before = stream.next()
        now = stream.next()
        sold = now["total"]["sales"] - before["total"]["sales"]
        assert sold > 0 and abs(now["rate"]["sales"] - sold / now["interval"]) < 0.01 * sold + 0.2
        latency = now["latency"]["sales"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"] <= 10


# A look after nobody has watched for a while tells no rates of then.
def test_nobody_watched(start):
    server = alone(start)(WORKERS=1)
    with Stream(address_of(server, STOCK_POOL)) as stream:
        assert "rate" in [stream.next(), stream.next()][1]
    harness.stays(lambda: server.available() > 0, "nobody watches", 3.2)
    with Stream(address_of(server, STOCK_POOL)) as stream:
        assert "rate" not in stream.next()
        assert "rate" in stream.next()


# What is served while many watch is what is served without them.
def test_many_watch(start):
    server = alone(start)(WORKERS=1)
    streams = [Stream(address_of(server, STOCK_POOL)) for _ in range(64)]
    try:
        for stream in streams:
            stream.next()
        with Client(address_of(server, STOCK_POOL)) as client:
            client.send(request_bytes("GET", STREAM))
            assert_problem(client.answer(), 503, "overloaded")
        assert server.ask("GET", AVAILABLE).status == 200
    finally:
        for stream in streams:
            stream.client.close()
