"""The log: every line is one JSON object of ours, whatever a client sends, and it never stops a sale."""

import datetime
import json
import re
import time

import pytest

from harness import AVAILABLE, PURCHASE, RESERVE, SLOW, STOCK_PORT, BadAnswer, Client, eventually, free_port, request_bytes

LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


def access_lines(server, since=0, count=1):
    return server.wait_log(lambda entry: entry.get("event") == "access", since, count)


# Every line has the fields that a log collector indexes.
def test_fields(start):
    server = start(ACCESS_LOG="true", LOG_LEVEL="DEBUG")
    server.ask("GET", AVAILABLE)
    access_lines(server)
    server.stop()
    pids = set()
    for entry in server.log:
        assert {"time", "level", "role", "pid"} <= entry.keys(), entry
        assert ("message" in entry) != ("event" in entry), entry
        assert entry["level"] in LEVELS
        stamp = datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00"))
        assert abs(stamp.timestamp() - time.time()) < 300 and stamp.tzinfo is not None
        if entry["role"] == "master":
            assert entry["pid"] == server.master_pid
        else:
            assert isinstance(entry["index"], int) and entry["pid"] != server.master_pid
        pids.add(entry["pid"])
    assert len(pids) >= 2
    assert not server.not_json


# The access log tells each request: who, what, how it ended.
@pytest.mark.parametrize("method, path, body, status", [
    ("GET", AVAILABLE, None, 200), ("HEAD", AVAILABLE, None, 200), ("POST", RESERVE, {"qty": 2}, 200),
    ("POST", PURCHASE, {"qty": 2}, 200), ("POST", RESERVE, b"{", 400), ("GET", "/nothing", None, 404),
    ("DELETE", RESERVE, None, 405), ("POST", RESERVE, {"qty": 0}, 422), ("OPTIONS", RESERVE, None, 204),
    ("POST", RESERVE, b" " * 20000, 413), ("GET", "/", None, 200)])
def test_access(start, method, path, body, status):
    server = start(ACCESS_LOG="true")
    since = server.mark()
    answer = server.ask(method, path, body, {"X-Request-ID": "id-1"})
    assert answer.status == status
    # of the client's own request: the pool behind the one it asked has lines of its own
    (line,) = server.wait_log(lambda entry: entry.get("event") == "access" and entry["path"] == path, since)
    assert (line["method"], line["path"], line["status"]) == (method, path, status)
    assert line["request_id"] == "id-1"
    assert line["remote"].startswith("127.0.0.1")
    assert line["bytes"] >= len(answer.body) if method != "HEAD" else line["bytes"] >= 0
    assert 0 <= line["duration_us"] < 5_000_000 * SLOW


# A made id is the one that the client was told.
def test_access_made_id(start):
    server = start(ACCESS_LOG="true")
    answer = server.ask("GET", AVAILABLE)
    (line,) = access_lines(server)
    assert line["request_id"] == answer["X-Request-ID"]


# Off is off.
def test_no_access_log(start):
    server = start(ACCESS_LOG="false", LOG_LEVEL="INFO")
    since = server.mark()
    for _ in range(20):
        assert server.ask("POST", RESERVE, {"qty": 1}).status == 200
    server.stop()
    assert not [e for e in map(server._parsed, server.raw_log[since:]) if e and e.get("event") == "access"]


# LOG_LEVEL hides what is less severe.
@pytest.mark.parametrize("level, hidden", [("ERROR", {"DEBUG", "INFO", "WARNING"}), ("CRITICAL", {"DEBUG", "INFO", "WARNING", "ERROR"})])
def test_level(start, level, hidden):
    port = free_port()
    server = start(LOG_LEVEL=level, ready=False, **{STOCK_PORT: port})

    def answers():
        try:
            with Client(f"http://127.0.0.1:{port}") as client:
                return client.ask("GET", AVAILABLE).status == 200
        except OSError:
            return False

    eventually(answers, "an answer")
    server.stop()
    assert not {entry["level"] for entry in server.log} & hidden


FORGED = '{"time":"2000-01-01T00:00:00Z","level":"CRITICAL","role":"master","pid":1,"message":"forged"}'
ATTACKS = {
    "newline in the path": ("/a%0a" + FORGED.replace('"', "%22").replace(" ", "%20"), []),
    "carriage return in the path": ("/a%0d%0aforged", []),
    "escape in the path": ("/%1b[31mforged", []),
    "quote in the path": ('/a","level":"CRITICAL","x":"forged', []),
    "backslash in the path": ("/a\\", []),
    "NUL in the path": ("/a%00forged", []),
    "raw bytes in the path": ("/\xff\xfe\x80forged", []),
    "raw C1 control in the path": ("/\x9b31mforged", []),
    "tab in the request id": ("/nothing", [("X-Request-ID", "a\tforged")]),
    "quote in the request id": ("/nothing", [("X-Request-ID", 'a","level":"CRITICAL","x":"')]),
    "backslash in the request id": ("/nothing", [("X-Request-ID", "a\\")]),
    "bytes in the request id": ("/nothing", [("X-Request-ID", "a\x9b31m\xff")]),
    "long request id": ("/nothing", [("X-Request-ID", "f" * 5000)]),
    "escape in another header": ("/nothing", [("User-Agent", "a\xc2\x9b31m"), ("Referer", '"\\"')]),
    "long path": ("/" + "a" * 12000, []),
    "quote in the method": ("/nothing", [("X-HTTP-Method-Override", '"')]),
}


def attack(server, path, headers, method="GET"):
    with server.connect() as client:
        client.send(request_bytes(method, path, headers=headers))
        try:
            client.answer()
        except (OSError, BadAnswer):
            pass
        # the next request's line marks that the attack's own would have come
        with server.connect() as second:
            assert second.ask("GET", AVAILABLE, headers={"X-Request-ID": "after"}).status == 200


# No client can put a line of its own into the JSON log, nor bytes that a terminal obeys.
@pytest.mark.parametrize("path, headers", list(ATTACKS.values()), ids=list(ATTACKS))
def test_forged_json(start, path, headers):
    server = start(ACCESS_LOG="true", LOG_LEVEL="DEBUG", WORKERS=1)
    attack(server, path, headers)
    server.wait_log(lambda entry: entry.get("request_id") == "after")
    server.stop()
    for line in server.raw_log:
        entry = json.loads(line.decode("utf-8"), object_pairs_hook=_no_duplicates)
        assert entry["level"] != "CRITICAL" and entry.get("message") != "forged"
        assert not re.search(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]", line), line
        assert len(line) < 8192
    for entry in (e for e in server.log if e.get("event") == "access"):
        assert re.fullmatch(r"[!-~]{1,128}", entry["request_id"])


def _no_duplicates(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a member twice: {names}"
    return dict(pairs)


# Nor into the text log, where only the line's beginning tells who speaks.
@pytest.mark.parametrize("path, headers", list(ATTACKS.values()), ids=list(ATTACKS))
def test_forged_text(start, path, headers):
    server = start(ACCESS_LOG="true", JSON_LOGS="false", WORKERS=1)
    since = server.mark()
    attack(server, path, headers)
    server.wait_log(r"\bafter\b", since)
    server.stop()
    lines = server.raw_log[since:]
    for line in lines:
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]|\xc2[\x80-\x9f]", line), line
        assert not line.startswith((b"forged", b"{", b"[31m")), line
        line.decode("utf-8")


# The methods are the client's as well.
@pytest.mark.parametrize("method", ['G"T', "G\\T", "A" * 2000, "GET'", "G{}T"])
def test_forged_method(start, method):
    server = start(ACCESS_LOG="true", WORKERS=1)
    attack(server, "/nothing", [], method)
    server.wait_log(lambda entry: entry.get("request_id") == "after")
    server.stop()


# A log that nobody reads fills its pipe; the sales go on, and later the log tells what was lost.
@pytest.mark.parametrize("json_logs", ["true", "false"])
def test_blocked_log(start, json_logs):
    # memory: so that the log, and not the disk, could slow it down
    server = start(ACCESS_LOG="true", JSON_LOGS=json_logs, WORKERS=2, LEDGER_URL="memory:")
    before = server.available()
    server.pause_log()
    requests = 3000
    begun = time.monotonic()
    with server.connect() as one, server.connect() as two:
        for _ in range(requests // 100):
            for client in (one, two):
                client.send(request_bytes("POST", RESERVE, {"qty": 1}) * 50)
            for client in (one, two):
                for _ in range(50):
                    assert client.answer().json()["success"] is True
    assert time.monotonic() - begun < 10 * SLOW
    assert server.available() == before - requests
    server.resume_log()

    # The pipe is empty again soon; the next line brings the count of those that were lost.
    def told():
        server.ask("GET", AVAILABLE)
        return any(b"log lines were dropped" in line for line in server.raw_log)

    eventually(told, "the count of dropped lines", step_s=0.05)
    server.stop()


# A log that nobody can read any more (the reader died) stops nothing either.
def test_log_reader_dies(start):
    server = start(ACCESS_LOG="true", WORKERS=2)
    before = server.available()
    server.close_log()
    workers = server.workers()
    for _ in range(50):
        assert server.ask("POST", RESERVE, {"qty": 1}).status == 200
    assert server.available() == before - 50
    assert server.workers() == workers
    server.send_signal(15)
    assert server.wait_exit() == 0
    server.assert_gone()
