"""Raw HTTP: where a request ends must never be in doubt, for a doubt is a way to smuggle one."""

import random
import socket

import pytest

from harness import AVAILABLE, RESERVE, BadAnswer, Client, assert_problem, eventually, exchange, request_bytes

BODY = b'{"qty":1}'
SECOND = b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n"


def head(*lines, start=f"POST {RESERVE} HTTP/1.1"):
    return "\r\n".join([start, *lines]).encode("latin-1") + b"\r\n\r\n"


def answers_in(data):
    """Splits what a server sent before it closed into answers; fails on anything else."""
    class Replay(Client):
        def __init__(self):  # pylint: disable=super-init-not-called
            self.data = data

        def _more(self):
            return False

    replay, found = Replay(), []
    while replay.data:
        found.append(replay.answer())
    return found


def assert_refused(server, data, code=None):
    """400, closed, and only one answer: ours when `code` is given, else ours or libh2o's short text."""
    answers = answers_in(exchange(server.address_for(RESERVE), data))
    assert len(answers) == 1, answers
    answer = answers[0]
    assert answer.status == 400, answer
    assert answer.closes, answer
    if code or answer["Content-Type"] == "application/problem+json":
        assert_problem(answer, 400, code or "malformed_request")
    else:
        assert answer["Content-Type"].split(";")[0] == "text/plain", answer


# Each of these leaves it open where the body ends or whom the request is for.  The first column says
# that libh2o would let it pass, so that the answer must be our own problem document.
REFUSED = {
    "chunked": (True, head("Host: x", "Transfer-Encoding: chunked") + b"9\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunked after a length": (True, head("Host: x", "Content-Length: 9", "Transfer-Encoding: chunked") + BODY),
    "length after chunked": (True, head("Host: x", "Transfer-Encoding: chunked", "Content-Length: 9") + BODY),
    "Chunked": (True, head("Host: x", "transfer-encoding: Chunked") + b"0\r\n\r\n"),
    "identity": (True, head("Host: x", "Transfer-Encoding: identity", "Content-Length: 9") + BODY),
    "gzip, chunked": (True, head("Host: x", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
    "xchunked": (True, head("Host: x", "Transfer-Encoding: xchunked", "Content-Length: 9") + BODY),
    "empty Transfer-Encoding": (True, head("Host: x", "Transfer-Encoding:", "Content-Length: 9") + BODY),
    "Transfer-Encoding twice": (True, head("Host: x", "Transfer-Encoding: x", "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "chunked GET": (True, head("Host: x", "Transfer-Encoding: chunked", start=f"GET {AVAILABLE} HTTP/1.1") + b"0\r\n\r\n"),
    "chunk size with rubbish": (False, head("Host: x", "Transfer-Encoding: chunked") + b"9x\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "no Host": (True, head("Content-Length: 9") + BODY),
    "no Host in a GET": (True, head(start=f"GET {AVAILABLE} HTTP/1.1")),
    "Host twice": (True, head("Host: x", "Host: y", "Content-Length: 9") + BODY),
    "same Host twice": (True, head("Host: x", "Host: x", "Content-Length: 9") + BODY),
    "hOST twice": (True, head("Host: x", "Content-Length: 9", "hOST: x") + BODY),
    "Host twice on an unknown path": (True, head("Host: x", "Host: y", start="GET /nothing HTTP/1.1")),
    "Host twice with a wrong method": (True, head("Host: x", "Host: y", start=f"DELETE {RESERVE} HTTP/1.1")),
    "Content-Length twice": (True, head("Host: x", "Content-Length: 9", "Content-Length: 8") + BODY),
    "same Content-Length twice": (True, head("Host: x", "Content-Length: 9", "Content-Length: 9") + BODY),
    "Content-Length twice, zero first": (True, head("Host: x", "Content-Length: 0", "Content-Length: 9") + BODY),
    "Content-Length twice in a GET": (True, head("Host: x", "Content-Length: 0", "content-length: 0", start=f"GET {AVAILABLE} HTTP/1.1")),
    "Content-Length +9": (False, head("Host: x", "Content-Length: +9") + BODY),
    "Content-Length -9": (False, head("Host: x", "Content-Length: -9") + BODY),
    "Content-Length 0x9": (False, head("Host: x", "Content-Length: 0x9") + BODY),
    "Content-Length 9, 9": (False, head("Host: x", "Content-Length: 9, 9") + BODY),
    "Content-Length 9 9": (False, head("Host: x", "Content-Length: 9 9") + BODY),
    "Content-Length 9.0": (False, head("Host: x", "Content-Length: 9.0") + BODY),
    "Content-Length 9x": (False, head("Host: x", "Content-Length: 9x") + BODY),
    "Content-Length of nothing": (False, head("Host: x", "Content-Length:") + BODY),
    "Content-Length of a blank": (False, head("Host: x", "Content-Length: ") + BODY),
    "Content-Length beyond 2^64": (False, head("Host: x", "Content-Length: 18446744073709551625") + BODY),
    "Content-Length quoted": (False, head("Host: x", 'Content-Length: "9"') + BODY),
    "Content-Length +0 in a GET": (False, head("Host: x", "Content-Length: +0", start=f"GET {AVAILABLE} HTTP/1.1")),
    "bare LF": (True, head("Host: x", "Content-Length: 9").replace(b"\r\n", b"\n") + BODY),
    "bare LF after the request line": (True, head("Host: x", "Content-Length: 9").replace(b"\r\n", b"\n", 1) + BODY),
    "bare LF after a header": (True, b"POST /api/v1/reserve HTTP/1.1\r\nHost: x\nContent-Length: 9\r\n\r\n" + BODY),
    "bare LF at the end": (True, b"POST /api/v1/reserve HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\n" + BODY),
    "bare CR in a value": (False, head("Host: x", "X-A: a\rContent-Length: 0", "Content-Length: 9") + BODY),
    "folded header": (True, head("Host: x", "X-A: a", " b", "Content-Length: 9") + BODY),
    "folded by a tab": (True, head("Host: x", "X-A: a", "\tb", "Content-Length: 9") + BODY),
    "folded length": (True, head("Host: x", "Content-Length:", " 9") + BODY),
    "folded Host": (True, head("Host:", " x", "Content-Length: 9") + BODY),
    "first header folded": (False, head(" Host: x", "Host: x", "Content-Length: 9") + BODY),
    "space before the colon": (False, head("Host: x", "Content-Length : 9") + BODY),
    "tab before the colon": (False, head("Host: x", "Content-Length\t: 9") + BODY),
    "space before Host's colon": (False, head("Host : x", "Content-Length: 9") + BODY),
    "space before another colon": (False, head("Host: x", "X-A : b", "Content-Length: 9") + BODY),
    "empty name": (False, head("Host: x", ": y", "Content-Length: 9") + BODY),
    "no colon": (False, head("Host: x", "rubbish", "Content-Length: 9") + BODY),
    "space in a name": (False, head("Host: x", "X A: b", "Content-Length: 9") + BODY),
    "NUL in a value": (False, head("Host: x", "X-A: a\0b", "Content-Length: 9") + BODY),
    "NUL in a name": (False, head("Host: x", "X\0A: b", "Content-Length: 9") + BODY),
    "control character in a value": (False, head("Host: x", "X-A: a\x01b", "Content-Length: 9") + BODY),
    "control character in the path": (False, head("Host: x", start="GET /\x01 HTTP/1.1")),
    "no version": (False, head("Host: x", "Content-Length: 9", start=f"POST {RESERVE}") + BODY),
    "HTTP/0.9": (False, f"GET {AVAILABLE}\r\n\r\n".encode()),
    "HTTP/2.0": (False, head("Host: x", "Content-Length: 9", start=f"POST {RESERVE} HTTP/2.0") + BODY),
    "rubbish": (False, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "no HTTP/1.0 Host": (True, head("Content-Length: 9", start=f"POST {RESERVE} HTTP/1.0") + BODY),
}


# What is ambiguous gets 400 once, the connection is closed, and nothing is sold.
@pytest.mark.parametrize("ours, data", list(REFUSED.values()), ids=list(REFUSED))
def test_refused(server, unsold, ours, data):
    assert_refused(server, data, "malformed_request" if ours else None)


# The same when it is the second request of a connection: the first one is answered as usual.
@pytest.mark.parametrize("name", [
    "chunked", "no Host", "Host twice", "same Content-Length twice", "bare LF", "folded header",
    "Content-Length +9", "empty name"])
@pytest.mark.parametrize("together", [True, False])
def test_refused_after_a_good_one(server, unsold, name, together):
    good = request_bytes("GET", AVAILABLE)
    with server.connect() as client:
        if together:
            client.send(good + REFUSED[name][1])
            assert client.answer().status == 200
        else:
            client.send(good)
            assert client.answer().status == 200
            client.send(REFUSED[name][1])
        answers = answers_in(client.rest())
        assert [answer.status for answer in answers] == [400]
        assert answers[0].closes


# ... and when it comes in pieces: no check may look at the first packet only.
@pytest.mark.parametrize("name", [
    "chunked", "no Host", "Host twice", "same Content-Length twice", "bare LF after a header",
    "folded header", "length after chunked"])
@pytest.mark.parametrize("size", [1, 7, 50])
def test_refused_in_pieces(server, unsold, name, size):
    data = REFUSED[name][1]
    with server.connect() as client:
        for start in range(0, len(data), size):
            try:
                client.send(data[start:start + size])
            except ConnectionError:
                break
        try:
            answers = answers_in(client.rest())
        except BadAnswer:
            answers = None
        # our own bytes after the refusal can make the kernel reset the connection over the answer
        assert answers is None or [answer.status for answer in answers] in ([], [400])


# A request hidden in what another reading calls the body is never answered.
@pytest.mark.parametrize("data", [
    head("Host: x", f"Content-Length: {5 + len(SECOND)}", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + SECOND,
    head("Host: x", "Transfer-Encoding: chunked", "Content-Length: 4") + b"%x\r\n" % len(SECOND) + SECOND + b"0\r\n\r\n",
    head("Host: x", "Transfer-Encoding : chunked", "Content-Length: 5") + b"0\r\n\r\n" + SECOND,
    head("Host: x", "Transfer-Encoding:\x0bchunked", "Content-Length: 5") + b"0\r\n\r\n" + SECOND,
    head("Host: x", "X: y\nTransfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n" + SECOND,
    head("Host: x", "Transfer-Encoding:", " chunked", "Content-Length: 5") + b"0\r\n\r\n" + SECOND,
    head("Host: x", "Content-Length: 0", f"Content-Length: {len(SECOND)}") + SECOND,
    head("Host: x", f"Content-Length: {len(SECOND)}", "Content-Length: 0") + SECOND,
    head("Host: x", f"Content-Length: +{len(SECOND)}") + SECOND,
    head("Host: x", "Content-Length: 9\n") + BODY + SECOND,
], ids=["CL.TE", "TE.CL", "spaced TE", "vertical tab TE", "LF TE", "folded TE", "CL 0 first", "CL 0 last", "CL +n", "CL LF"])
def test_smuggling(server, unsold, data):
    answers = answers_in(exchange(server.address_for(RESERVE), data))
    assert [answer.status for answer in answers] == [400], answers


# Space before a length is no part of it.
@pytest.mark.parametrize("length", ["9", " 9", "\t9", " \t 9"])
def test_space_before_a_length(server, length):
    with server.connect() as client:
        client.send(head("Host: x", f"Content-Length:{length}") + BODY)
        assert client.answer().status == 200
        assert client.ask("GET", AVAILABLE).status == 200


# Space after it is none either, but libh2o does not know: then the request is refused, never misread.
@pytest.mark.parametrize("length", ["9 ", "9\t", " 9 \t"])
def test_space_after_a_length(server, length):
    before = server.available()
    with server.connect() as client:
        client.send(head("Host: x", f"Content-Length:{length}", "Connection: close") + BODY)
        (answer,) = answers_in(client.rest())
    assert answer.status in (200, 400)
    assert before - server.available() == (answer.status == 200)


# A request may come in pieces of any size.
@pytest.mark.parametrize("size", [1, 2, 3, 16, 60])
def test_pieces(server, size):
    before = server.available()
    data = request_bytes("POST", RESERVE, {"qty": 1}, {"Content-Type": "application/json"})
    with server.connect() as client:
        for start in range(0, len(data), size):
            client.send(data[start:start + size])
        assert client.answer().json()["remaining"] == before - 1


# The head in one packet and the body in the next, which is what most clients do.
def test_body_apart(server):
    data = request_bytes("POST", RESERVE, {"qty": 1})
    with server.connect() as client:
        for _ in range(3):
            at = data.index(b"\r\n\r\n") + 4
            client.send(data[:at])
            assert client.silent(0.05)
            client.send(data[at:])
            assert client.answer().status == 200


# Pipelined requests are answered in their order, each sale once.
def test_pipelining(server):
    before = server.available()
    count = 50
    with server.connect() as client:
        client.send(b"".join(
            request_bytes("POST", RESERVE, {"qty": 1}, {"X-Request-ID": f"r-{n}"})
            + request_bytes("GET", "/health", headers={"X-Request-ID": f"h-{n}"}) for n in range(count)))
        for n in range(count):
            sale, health = client.answer(), client.answer()
            assert (sale["X-Request-ID"], health["X-Request-ID"]) == (f"r-{n}", f"h-{n}")
            assert sale.json()["remaining"] == before - n - 1
            assert health.json()["status"] == "healthy"
    assert server.available() == before - count


# An error amid a pipeline takes only its own place.
def test_pipelining_over_errors(server):
    with server.connect() as client:
        client.send(request_bytes("GET", "/nothing") + request_bytes("POST", RESERVE, b"{")
                    + request_bytes("POST", RESERVE, {"qty": 0}) + request_bytes("PUT", RESERVE, {"qty": 1})
                    + request_bytes("GET", AVAILABLE))
        assert [client.answer().status for _ in range(5)] == [404, 400, 422, 405, 200]


# A body that a GET, a wrong method or an unknown path carries is taken off the wire, not read as a request.
@pytest.mark.parametrize("method, path, status", [
    ("GET", AVAILABLE, 200), ("GET", "/nothing", 404), ("POST", "/nothing", 404), ("PUT", RESERVE, 405), ("OPTIONS", RESERVE, 204)])
def test_unwanted_body(server, method, path, status):
    with server.connect() as client:
        assert client.ask(method, path, SECOND).status == status
        assert client.ask("GET", AVAILABLE).status == 200


# `Connection: close` is obeyed and said.
def test_close(server):
    answers = answers_in(exchange(server.vacancy_address, request_bytes("GET", AVAILABLE, headers={"Connection": "close"})))
    assert [answer.status for answer in answers] == [200]
    assert answers[0].closes


# HTTP/1.0 closes after its answer ...
def test_http10(server):
    answers = answers_in(exchange(server.vacancy_address, request_bytes("GET", AVAILABLE, version="HTTP/1.0")))
    assert [answer.status for answer in answers] == [200]
    assert "chunked" not in answers[0].tokens("Transfer-Encoding")


# ... sells ...
def test_http10_sale(server):
    before = server.available()
    answers = answers_in(exchange(server.vacancy_address, request_bytes("POST", RESERVE, {"qty": 1}, version="HTTP/1.0")))
    assert answers[0].json()["remaining"] == before - 1


# ... and stays only when it asks to.
def test_http10_keepalive(server):
    with server.connect() as client:
        for _ in range(2):
            answer = client.ask("GET", AVAILABLE, headers={"Connection": "keep-alive"}, version="HTTP/1.0")
            assert answer.status == 200
            assert "keep-alive" in answer.tokens("Connection")


# An HTTP/1.0 client that takes gzip gets no chunks, which it does not know.
def test_http10_gzip(server):
    data = request_bytes("GET", "/", headers={"Accept-Encoding": "gzip"}, version="HTTP/1.0")
    answers = answers_in(exchange(server.vacancy_address, data))
    assert answers[0].status == 200
    assert "chunked" not in answers[0].tokens("Transfer-Encoding")


# The offer of HTTP/2 is ignored: this server must never speak it.
@pytest.mark.parametrize("method, path, body", [("GET", AVAILABLE, None), ("POST", RESERVE, {"qty": 1})])
def test_h2c_upgrade_is_ignored(server, method, path, body):
    with server.connect() as client:
        answer = client.ask(method, path, body, {
            "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"})
        assert (answer.version, answer.status) == ("HTTP/1.1", 200)
        assert answer["Upgrade"] is None
        if answer.closes:  # libh2o takes `Connection: Upgrade` for the wish to close
            assert client.rest() == b""
        else:
            assert client.ask("GET", AVAILABLE).status == 200


# HTTP/2 with prior knowledge is refused, and no frame of it is sent.
def test_h2_preface(server):
    said = exchange(server.vacancy_address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    assert said == b"" or said.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")), said
    assert b"\0\0" not in said


# A WebSocket upgrade is ignored too.
def test_other_upgrade_is_ignored(server):
    with server.connect() as client:
        answer = client.ask("GET", AVAILABLE, headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
        assert answer.status == 200


# A client that waits for 100 gets it, and then its answer.
@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_expect_continue(server, value):
    before = server.available()
    with server.connect() as client:
        client.send(head("Host: x", f"Expect: {value}", "Content-Length: 9"))
        assert client.answer(skip_continue=False).status == 100
        client.send(BODY)
        assert client.answer(skip_continue=False).json()["remaining"] == before - 1
        assert client.ask("GET", AVAILABLE).status == 200


# A client that announces too much is told before it sends it.
def test_expect_continue_too_large(server, unsold):
    with server.connect() as client:
        client.send(head("Host: x", "Expect: 100-continue", "Content-Length: 1000000"))
        assert client.answer(skip_continue=False).status == 413


# An expectation that nobody knows is not met.
@pytest.mark.parametrize("value", ["200-ok", "100-continue-not", "x"])
def test_expect_other(server, unsold, value):
    with server.connect() as client:
        client.send(head("Host: x", f"Expect: {value}", "Content-Length: 9") + BODY)
        assert_problem(client.answer(), 417, "expectation_failed")


# Empty lines before a request are skipped, as RFC 9112 wants, or refused; never more.
def test_empty_line_first(server):
    with server.connect() as client:
        client.send(b"\r\n" + request_bytes("GET", AVAILABLE, headers={"Connection": "close"}))
        assert [a.status for a in answers_in(client.rest())] in ([200], [400], [])


# A client that leaves in the middle of a request sells nothing and harms nobody.
@pytest.mark.parametrize("reset", [True, False])
def test_client_leaves(server, unsold, reset):
    data = request_bytes("POST", RESERVE, {"qty": 1})
    for cut in range(1, len(data), 7):
        client = server.connect()
        client.send(data[:cut])
        client.reset() if reset else client.close()
    assert server.ask("GET", "/health").status == 200


# A client that leaves before its answer has bought all the same, or not: the stock says which, once.
def test_client_leaves_before_the_answer(server):
    before = server.available()
    for _ in range(20):
        client = server.connect()
        client.send(request_bytes("POST", RESERVE, {"qty": 1}))
        client.reset()
    assert before - 20 <= eventually(server.available, "an answer") <= before
    assert server.ask("POST", RESERVE, {"qty": 1}).json()["success"] is True


# A client that has sent its request and closed its sending side still gets the answer.
def test_half_close(server):
    with server.connect() as client:
        client.send(request_bytes("GET", AVAILABLE))
        client.sock.shutdown(socket.SHUT_WR)
        said = client.rest()
    assert said == b"" or answers_in(said)[0].status == 200


# Random bytes end connections and nothing else.
def test_rubbish(server, unsold):
    rng = random.Random(20240607)
    good = request_bytes("POST", RESERVE, {"qty": 1}, {"Content-Type": "application/json"})
    good = good.replace(b'"qty": 1', b'"qty": 0')
    workers = server.workers()
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(good.index(b"\r\n\r\n"))] = rng.randrange(256)
        with server.connect() as client:
            client.send(bytes(data))
            client.sock.shutdown(socket.SHUT_WR)
            client.rest()
    assert server.ask("GET", "/health").status == 200
    assert server.workers() == workers
