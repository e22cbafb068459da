"""Requests that were once answered wrongly, or sold and were not answered at all."""

import os
import re
import signal

import pytest

from harness import (AVAILABLE, RESERVE, BadAnswer, Server, assert_problem, eventually, exchange, request_bytes,
                     stays)

# ---------------------------------------------------------------- sold, and nobody told


def told_sold(client):
    """Whether the client heard that it has its ticket.  A closed connection says no such thing."""
    try:
        answer = client.answer()
    except (OSError, BadAnswer):
        return False
    return answer.status == 200 and answer.json()["success"]


def assert_no_silent_sale(server, clients, worker):
    """The stopped worker's clients buy, it goes on, and what was sold is what they were told of."""
    stock = 1000000
    for client in clients:
        client.send(request_bytes("POST", RESERVE, {"qty": 1}))
    os.kill(worker, signal.SIGCONT)
    told = sum(told_sold(client) for client in clients)
    for client in clients:
        client.close()
    assert stock - server.available() == told


def stopped(worker):
    with open(f"/proc/{worker}/stat", "rb") as file:
        return file.read().rpartition(b") ")[2][:1] == b"T"


def stop_for(worker, duration_s):
    os.kill(worker, signal.SIGSTOP)
    eventually(lambda: stopped(worker), "the worker is stopped")
    stays(lambda: stopped(worker), "the worker sleeps past the limit", duration_s)


def idle_clients(server, count=12):
    clients = [server.connect() for _ in range(count)]
    for client in clients:
        assert client.ask("GET", AVAILABLE).status == 200
    return clients


# A purchase and the end of KEEPALIVE_TIMEOUT reach a worker that had no time at once: the sweep ends
# the connection, and the purchase is still there to be read.
def test_purchase_at_the_keepalive_limit(start):
    server = start(WORKERS=1, KEEPALIVE_TIMEOUT=1)
    (worker,) = server.workers()
    clients = idle_clients(server)
    stop_for(worker, 1.4)
    assert_no_silent_sale(server, clients, worker)
    assert list(server.workers()) == [worker]


# The same at the end of DRAIN_IDLE_TIMEOUT, in a worker that is to end.
def test_purchase_at_the_drain_limit(start):
    server = start(WORKERS=1, DRAIN_IDLE_TIMEOUT=1, SHUTDOWN_TIMEOUT=60)
    (worker,) = server.workers()
    clients = idle_clients(server)
    os.kill(worker, signal.SIGTERM)
    eventually(lambda: set(server.workers()) - {worker}, "a new worker, so the old one drains")
    stop_for(worker, 1.4)
    assert_no_silent_sale(server, clients, worker)


# The same at REQUEST_TIMEOUT: the rest of a body arrives when the time is up.
def test_rest_of_a_purchase_at_the_request_limit(start):
    server = start(WORKERS=1, REQUEST_TIMEOUT=1)
    (worker,) = server.workers()
    clients = idle_clients(server)
    data = request_bytes("POST", RESERVE, {"qty": 1})
    for client in clients:
        client.send(data[:-1])
    assert clients[0].silent(0.3), "every half is read, and a sweep has seen it"
    stop_for(worker, 1.4)
    for client in clients:
        client.send(data[-1:])
    os.kill(worker, signal.SIGCONT)
    told = sum(told_sold(client) for client in clients)
    for client in clients:
        client.close()
    assert 1000000 - server.available() == told


# ---------------------------------------------------------------- the access log


# A client that resets before it is answered is named by its address, as any other.
def test_access_log_after_a_reset(start):
    server = start(WORKERS=1, ACCESS_LOG="true")
    (worker,) = server.workers()

    def descriptors():
        return len(os.listdir(f"/proc/{worker}/fd"))

    for number in range(5):
        free = descriptors()
        client = server.connect()
        address = "%s:%d" % client.sock.getsockname()
        eventually(lambda: descriptors() > free, "the connection is accepted")
        os.kill(worker, signal.SIGSTOP)
        eventually(lambda: stopped(worker), "the worker is stopped")
        client.send(request_bytes("GET", AVAILABLE, headers={"X-Request-ID": f"reset-{number}"}))
        client.reset()
        os.kill(worker, signal.SIGCONT)
        (line,) = server.wait_log(lambda entry: entry.get("request_id") == f"reset-{number}" and "remote" in entry)
        assert line["remote"] == address
        eventually(lambda: descriptors() == free, "the connection is gone")


# ---------------------------------------------------------------- the target of a request




# The absolute form names the same resources as the origin form (RFC 9112 section 3.2.2).
@pytest.mark.parametrize("target", [
    "http://ticketd.test/api/v1/available",
    "HTTP://ticketd.test/api/v1/available", "https://ticketd.test/api/v1/available", "http://127.0.0.1:8000/api/v1/available",
    "http://[::1]:8000/api/v1/available", "http://ticketd.test/api/v1/available?a=b",
    "http://ticketd.test/api/v1/./x/../available"])
def test_absolute_form(server, target):
    answer = server.ask("GET", target)
    assert answer.status == 200
    assert answer.json()["qty"] == server.available()


@pytest.mark.parametrize("target", ["http://ticketd.test", "http://ticketd.test/"])
def test_absolute_form_of_the_root(server, target):
    assert server.ask("GET", target).json() == server.ask("GET", "/").json()


# It sells as well, once.
def test_absolute_form_sells(server):
    before = server.available()
    answer = server.ask("POST", "http://ticketd.test" + RESERVE, {"qty": 2})
    assert answer.status == 200 and answer.json()["success"]
    assert server.available() == before - 2


# What is not there is not there in this form either, and its methods are the same.
def test_absolute_form_of_nothing(server, unsold):
    assert_problem(server.ask("GET", "http://ticketd.test/nothing"), 404, "not_found")
    assert_problem(server.ask("GET", f"http://ticketd.test{AVAILABLE}/more"), 404, "not_found")
    assert server.ask("DELETE", "http://ticketd.test" + RESERVE).status == 405


# No target at all, or one that is neither a path nor an http URL, is no request.
@pytest.mark.parametrize("target", [
    "", "api/v1/available", "http:/api/v1/available", "http://", "ftp://ticketd.test/", "*", "**", "?a", "x:80"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_no_target(server, unsold, method, target):
    said = exchange(server.vacancy_address, request_bytes(
        method, target, b'{"qty":1}' if method == "POST" else None, {"Connection": "close"}))
    assert re.match(rb"HTTP/1\.1 400 ", said), said
    assert said.count(b"HTTP/1.1 ") == 1


# The asterisk belongs to OPTIONS, and asks for the server as a whole.
def test_asterisk(server):
    answer = server.ask("OPTIONS", "*")
    assert answer.status == 204
    assert answer["Content-Length"] is None and answer.body == b""
    assert {"get", "head", "options"} <= set(answer.tokens("Allow"))


def test_asterisk_and_more(server, unsold):
    said = exchange(server.vacancy_address, request_bytes("OPTIONS", "*a", headers={"Connection": "close"}))
    assert re.match(rb"HTTP/1\.1 400 ", said), said


# ---------------------------------------------------------------- browsers


@pytest.fixture(scope="module")
def restricted():
    server = Server(CORS_ALLOW_ORIGINS="https://a.example")
    yield server
    try:
        server.stop()
    finally:
        server.discard()


# A page of this very host may buy: browsers send its Origin with every POST.
@pytest.mark.parametrize("host", ["shop.example", "shop.example:8000", "127.0.0.1:8000", "[::1]:8000"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_same_origin(restricted, scheme, host):
    before = restricted.available()
    answer = restricted.ask("POST", RESERVE, {"qty": 1}, {"Origin": f"{scheme}://{host}", "Host": host})
    assert answer.status == 200 and answer.json()["success"]
    assert "origin" in answer.tokens("Vary")
    assert restricted.available() == before - 1


# What only resembles it is another site.
@pytest.mark.parametrize("origin", [
    "http://xshop.example", "http://shop.example:8000", "http://shop.example.evil.example", "http://shop.exampl",
    "http://evil.example/shop.example", "http://evil@shop.example", "ftp://shop.example", "//shop.example",
    "shop.example", "xhttp://shop.example", "http:///shop.example", "http://", "null", ""])
def test_nearly_same_origin(restricted, origin):
    before = restricted.available()
    answer = restricted.ask("POST", RESERVE, {"qty": 1}, {"Origin": origin, "Host": "shop.example"})
    assert_problem(answer, 403, "origin_not_allowed")
    assert restricted.available() == before
