"""Limits: sizes, slow clients, connections.  Each has its answer, and none costs another client."""

import time

import pytest

from harness import (AVAILABLE, LONG, RESERVE, SLACK_S, SLOW, Client, Server, assert_problem, cpu_seconds, eventually,
                     exchange, request_bytes)


# ---------------------------------------------------------------- sizes


def padded(size):
    body = b'{"qty":1}'
    return body + b" " * (size - len(body))


# A body of exactly the limit is taken, one byte more is not.
@pytest.mark.parametrize("limit", [64, 16384, 1048576])
def test_body_limit(start, limit):
    server = start(MAX_BODY_BYTES=limit)
    assert server.ask("POST", RESERVE, padded(limit)).status == 200
    before = server.available()
    assert_problem(server.ask("POST", RESERVE, padded(limit + 1)), 413, "body_too_large")
    assert server.available() == before


# The announced length decides: nothing of a huge body is waited for, and the connection ends.
@pytest.mark.parametrize("length", [16385, 10**9, 2**31, 2**32 + 5, 2**63 - 1])
@pytest.mark.parametrize("path", [RESERVE, AVAILABLE, "/nothing"])
def test_body_announced_too_large(server, unsold, length, path):
    with server.connect() as client:
        client.send(request_bytes("POST", path, headers={"Content-Length": length}))
        answer = client.answer()
        assert_problem(answer, 413, "body_too_large")
        assert answer.closes
        assert client.rest() == b""


# A head below the limit is served; one above it is told so.
@pytest.mark.parametrize("limit", [1024, 16384, 65536])
def test_head_limit(start, limit):
    server = start(MAX_HEADER_BYTES=limit)
    pieces = limit // 8000 + 1
    def request(size):
        fields = [(f"X-{n}", "a" * (size // pieces)) for n in range(pieces)]
        return request_bytes("GET", AVAILABLE, headers=fields)
    small = request(limit - 150 - pieces * 10)
    assert len(small) <= limit
    with server.connect() as client:
        client.send(small)
        assert client.answer().status == 200
    with server.connect() as client:
        client.send(request(limit + 200))
        assert_problem(client.answer(), 431, "header_too_large")


# A long path is a long head.
def test_long_path(server):
    assert_problem(server.ask("GET", "/" + "a" * 20000), 431, "header_too_large")


# A head that grows slowly without end is cut off at the limit, not at some megabytes.
def test_endless_head(start):
    server = start(MAX_HEADER_BYTES=4096, REQUEST_TIMEOUT=600)
    with server.connect() as client:
        client.send(f"GET {AVAILABLE} HTTP/1.1\r\nHost: x\r\n".encode())
        sent = 0

        def refused():
            nonlocal sent
            if not client.silent(0):
                return True
            try:
                client.send(b"X-A: " + b"a" * 200 + b"\r\n")
            except ConnectionError:
                return True
            sent += 207
            return False

        eventually(refused, "the end of an endless head", step_s=0.02)
        said = client.rest()
        assert said == b"" or said.split()[1] in (b"431", b"400"), said


# Very many headers are refused or served, and the worker lives.
@pytest.mark.parametrize("count", [50, 99, 101, 1000])
def test_many_headers(server, count):
    workers = server.workers()
    said = exchange(server.vacancy_address, request_bytes(
        "GET", AVAILABLE, headers=[("Connection", "close")] + [(f"X-{n}", "y") for n in range(count)]))
    assert said.split()[1] in ((b"200",) if count < 90 else (b"200", b"400", b"431"))
    assert server.workers() == workers


# ---------------------------------------------------------------- slow clients


@pytest.fixture(scope="module")
def impatient():
    server = Server(REQUEST_TIMEOUT=1, KEEPALIVE_TIMEOUT=4)
    yield server
    try:
        server.stop()
    finally:
        server.discard()


def seconds_until_closed(client, start):
    client.rest()
    return time.monotonic() - start


HALF_HEAD = f"POST {RESERVE} HTTP/1.1\r\nHost: x\r\nContent-Le".encode()
HALF_BODY = request_bytes("POST", RESERVE, b'{"qty":1}')[:-3]


# A request that stops half-way is ended at REQUEST_TIMEOUT, on a first request and on a later one.
@pytest.mark.parametrize("used", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("data", [HALF_HEAD, HALF_BODY], ids=["head", "body"])
def test_stopped_request(impatient, data, used):
    with impatient.connect() as client:
        if used:
            assert client.ask("GET", AVAILABLE).status == 200
        start = time.monotonic()
        client.send(data)
        assert 0.9 <= seconds_until_closed(client, start) <= 1.6 + SLACK_S


# One byte now and then buys no time: the limit is for the whole request.
@pytest.mark.parametrize("data, drip", [(HALF_HEAD, b"n"), (request_bytes("POST", RESERVE, b" " * 500)[:-400], b" ")], ids=["head", "body"])
def test_dripping_request(impatient, data, drip):
    with impatient.connect() as client:
        start = time.monotonic()
        client.send(data)

        def closed():
            if not client.silent(0.1):
                return True
            try:
                client.send(drip)
            except ConnectionError:
                return True
            return False

        eventually(closed, "the end of a dripping request", deadline_s=10 * SLOW, step_s=0)
        assert 0.9 <= time.monotonic() - start <= 1.7 + SLACK_S


# A connection on which nothing was ever asked is closed as well.
def test_silent_connection(impatient):
    with impatient.connect() as client:
        start = time.monotonic()
        assert 0.9 <= seconds_until_closed(client, start) <= 4.6 + SLACK_S


# Idle between requests is not slow: beyond REQUEST_TIMEOUT the connection stays and works; beyond
# KEEPALIVE_TIMEOUT it is closed.
def test_idle_keepalive(impatient):
    with impatient.connect() as client:
        assert client.ask("GET", AVAILABLE).status == 200
        assert client.silent(2.2), "closed at REQUEST_TIMEOUT"
        assert client.ask("POST", RESERVE, {"qty": 1}).status == 200
        assert client.silent(1.8)
        assert client.ask("GET", AVAILABLE).status == 200
        start = time.monotonic()
        assert client.rest() == b""
        assert 3.4 <= time.monotonic() - start <= 4.6 + SLACK_S


# The time of idleness is no part of the next request's time.
def test_slow_request_after_idleness(impatient):
    with impatient.connect() as client:
        assert client.ask("GET", AVAILABLE).status == 200
        assert client.silent(1.5)
        data = request_bytes("POST", RESERVE, {"qty": 1})
        client.send(data[:30])
        assert client.silent(0.3)
        client.send(data[30:])
        assert client.answer().status == 200


# Many slow clients cost the others nothing.
def test_slow_clients_do_not_stop_others(impatient):
    slow = [impatient.connect() for _ in range(100)]
    try:
        for number, client in enumerate(slow):
            client.send(HALF_HEAD if number % 2 else HALF_BODY)
        start = time.monotonic()
        for _ in range(20):
            assert impatient.ask("POST", RESERVE, {"qty": 1}).status == 200
        assert time.monotonic() - start < 1.0 * SLOW
        for client in slow:
            client.rest()
    finally:
        for client in slow:
            client.close()


# ---------------------------------------------------------------- connections


# Beyond MAX_CONNECTIONS a connection waits in the kernel, nobody burns CPU for it, and it is served
# when another one ends.
@pytest.mark.parametrize("workers, limit", [(1, 4), (2, 4), (2, 5), (4, 2), (1, 1)])
def test_connection_limit(start, workers, limit):
    server = start(WORKERS=workers, MAX_CONNECTIONS=limit)
    held = [server.connect() for _ in range(limit)]
    for client in held:
        assert client.ask("GET", AVAILABLE).status == 200
    waiting = [server.connect() for _ in range(3)]
    for client in waiting:
        client.send(request_bytes("GET", AVAILABLE))
    pids = [server.master_pid, *server.workers()]
    before = sum(map(cpu_seconds, pids))
    assert waiting[0].silent(1.0)
    spent = sum(map(cpu_seconds, pids)) - before
    assert spent <= 0.05 * SLOW, f"{spent} s of CPU in one idle second at the limit"
    # those that are in go on
    for client in held:
        assert client.ask("GET", AVAILABLE).status == 200
    for client in held[:3]:
        client.close()
    served = []

    def one_more():
        for client in waiting:
            if client not in served and not client.silent(0):
                assert client.answer().status == 200
                served.append(client)
                client.close()
        return len(served) == len(waiting)

    eventually(one_more, "every waiting connection is served")
    for client in held:
        client.close()
    assert server.available() == 1000000


# A flood of connections far beyond the limit is served to the last one.
def test_flood(start):
    server = start(MAX_CONNECTIONS=8, WORKERS=2)
    flood = [server.connect() for _ in range(400 if LONG else 120)]
    for client in flood:
        client.send(request_bytes("POST", RESERVE, {"qty": 1}, {"Connection": "close"}))
    for client in flood:
        assert client.answer().status == 200
        client.close()
    assert server.available() == 1000000 - len(flood)


# Connections that come and go by reset leak no place under the limit.
def test_resets_give_their_places_back(start):
    server = start(MAX_CONNECTIONS=4, WORKERS=2)
    for number in range(100):
        client = server.connect()
        if number % 3:
            client.send(request_bytes("GET", AVAILABLE)[:20 if number % 2 else None])
        client.reset()
    held = [server.connect() for _ in range(4)]
    for client in held:
        assert client.ask("GET", AVAILABLE).status == 200
        client.reset()


# A client that asks and never reads gets its bounded share of memory, and stops nobody.
def test_client_that_never_reads(start):
    server = start(WORKERS=1)
    greedy = Client(server.vacancy_address, receive_buffer=4096)
    try:
        data = request_bytes("GET", "/") * 50
        greedy.sock.setblocking(False)
        sent, end = 0, time.monotonic() + 3
        stalled_since = time.monotonic()
        while time.monotonic() < end and time.monotonic() - stalled_since < 0.5 and sent < 32 << 20:
            try:
                sent += greedy.sock.send(data)
                stalled_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        start_s = time.monotonic()
        for _ in range(10):
            assert server.ask("POST", RESERVE, {"qty": 1}).status == 200
        assert time.monotonic() - start_s < 1.0 * SLOW
        (pid,) = server.workers()
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            resident = [line for line in file if line.startswith("VmRSS")][0]
        assert int(resident.split()[1]) < 100_000 * SLOW, resident
    finally:
        greedy.close()


# With four workers no worker is idle while another drowns: the busiest has at most twice the quietest's.
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
def test_fair_share(start, at_once):
    server = start(WORKERS=4, ACCESS_LOG="true")
    clients = []
    try:
        for number in range(64):
            client = server.connect()
            clients.append(client)
            if not at_once:
                client.send(request_bytes("GET", AVAILABLE, headers={"X-Request-ID": f"c-{number}"}))
                assert client.answer().status == 200
        if at_once:
            for number, client in enumerate(clients):
                client.send(request_bytes("GET", AVAILABLE, headers={"X-Request-ID": f"c-{number}"}))
            for client in clients:
                assert client.answer().status == 200
        lines = server.wait_log(lambda entry: entry.get("event") == "access", count=64)
        count = {}
        for line in lines:
            count[line["pid"]] = count.get(line["pid"], 0) + 1
        assert len(count) == 4 and max(count.values()) <= 2 * min(count.values()), count
    finally:
        for client in clients:
            client.close()
