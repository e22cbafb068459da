"""GET /api/v1/available/stream and the entity tag of GET /api/v1/available."""

import os
import re
import signal
import time

import pytest

from harness import (ALONE, AVAILABLE, DEADLINE_S, MICROSERVICES, PURCHASE, RESERVE, SELL_PATH, SLACK_S, SLOW, Client,
                     Load, assert_problem, eventually, request_bytes, stays)
from streams import STREAM, Ended, Source, Stream

INTERVAL_S = 0.25


def sell(server, quantity=1):
    answer = server.ask("POST", SELL_PATH, {"qty": quantity})
    assert answer.status == 200 and answer.json()["success"] is True
    return answer.json()["remaining"]


def reload_and_wait(server):
    since = server.mark()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", since)


# ---------------------------------------------------------------- what is sent


# The head says what the answer is, that nothing may keep, change or hold it back, and that it is the
# connection's last; then come the time to return and the state.
def test_form(server):
    with Stream(server) as stream:
        head = stream.head
        assert head.status == 200
        assert head["Content-Type"] == "text/event-stream"
        assert head["Cache-Control"] == "no-store, no-transform"
        assert head["X-Accel-Buffering"] == "no"
        assert head["Access-Control-Allow-Origin"] == "*"
        assert head["X-Request-ID"]
        assert head["Transfer-Encoding"] == "chunked"
        assert head["Content-Length"] is None and head["Content-Encoding"] is None
        assert head.closes
        assert re.fullmatch(r"retry: [12]\d\d\d", stream.block())
        assert re.fullmatch(r'id: \d+\ndata: \{"qty":%d\}' % server.available(), stream.block())


# A client that asks for compression gets its events at once all the same.
def test_not_compressed(server):
    with Stream(server, headers=[("Accept-Encoding", "gzip")]) as stream:
        assert stream.head["Content-Encoding"] is None
        assert stream.event().qty == server.available()


# HTTP/1.0 knows no chunks: there the stream is what comes until the connection's end.
def test_http_1_0(server):
    with Stream(server, version="HTTP/1.0", headers=[("Connection", "keep-alive")]) as stream:
        assert stream.head["Transfer-Encoding"] is None and stream.head.closes
        assert stream.event().qty == server.available()
        left = sell(server)
        assert stream.event().qty == left


# HEAD has the head and no stream, OPTIONS what there is, and no other method anything.
def test_methods(server):
    answer = server.ask("HEAD", STREAM)
    assert answer.status == 200 and answer["Content-Type"] == "text/event-stream"
    assert answer["Content-Length"] is None and answer.closes
    answer = server.ask("OPTIONS", STREAM)
    assert answer.status == 204 and answer["Allow"] == "GET, HEAD, OPTIONS"
    answer = server.ask("POST", STREAM, {"qty": 1})
    assert_problem(answer, 405, "method_not_allowed")


# A page may send the id itself, as those do that read streams without an EventSource.
def test_preflight(server):
    answer = server.ask("OPTIONS", STREAM, headers={
        "Origin": "https://a.example", "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "last-event-id"})
    assert answer.status == 204
    assert {"last-event-id", "if-none-match"} <= set(answer.tokens("Access-Control-Allow-Headers"))


# Of the two pools the one that has the stock has the stream.
@pytest.mark.skipif(not MICROSERVICES, reason="about the ticket pool")
def test_ticket_pool_has_none(server):
    with Client(server.address_for(PURCHASE)) as client:
        assert_problem(client.ask("GET", STREAM), 404, "not_found")


# ---------------------------------------------------------------- when it is sent


# A change is heard of soon, whoever made it, with the state that the change left.
def test_change(server):
    with Stream(server) as stream:
        event = stream.event()
        for _ in range(3):
            began = time.monotonic()
            left = sell(server)
            later = stream.until(lambda event, left=left: event.qty == left)[-1]
            assert later.came - began < INTERVAL_S + SLACK_S
            assert later.id > event.id
            event = later


# Every worker tells every change, with the same ids.
def test_all_workers(start):
    server = start(WORKERS=3)
    streams = [Stream(server) for _ in range(9)]
    try:
        assert len({stream.event().id for stream in streams}) == 1
        left = sell(server, 3)
        events = [stream.until(lambda event: event.qty == left)[-1] for stream in streams]
        assert len({event.id for event in events}) == 1
    finally:
        for stream in streams:
            stream.close()


# However many sales there are, a client hears a few times a second, and at last the truth.
def test_coalesced(server):
    with Stream(server) as stream:
        stream.event()
        began = time.monotonic()
        with Load(server, connections=4, path=SELL_PATH) as load:
            load.wait_answers(int(1500 / SLOW))
        took = time.monotonic() - began
        left = server.available()
        events = stream.until(lambda event: event.qty == left)
    assert load.sold > 2 * len(events)
    assert len(events) <= took / INTERVAL_S + 3
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))


# A client that comes back with what it has already hears nothing until there is more.
def test_last_event_id(start):
    server = start()
    sell(server)
    with Stream(server) as stream:
        event = stream.event()
    with Stream(server, last_id=event.id) as stream:
        assert re.fullmatch(r"retry: \d+", stream.block())
        assert stream.silent(2 * INTERVAL_S)
        left = sell(server)
        assert stream.event().qty == left
    for other in (0, event.id + 2**32, event.id - 1, "x", "", "9" * 30):
        with Stream(server, last_id=other) as stream:
            assert stream.event().qty == left


# A ledger outlives a restart, and so does what an id means.  One in memory does not: then no id is
# believed, as the next start may reach the same with another stock.
@pytest.mark.parametrize("ledger", ["sqlite:", "memory:"])
def test_restart(start, tmp_path, ledger):
    settings = {"LEDGER_URL": f"sqlite:{tmp_path}/ledger.db" if ledger == "sqlite:" else ledger}
    first = start(INITIAL_STOCK=10, **settings)
    sell(first)
    tag = first.ask("GET", AVAILABLE)["ETag"]
    with Stream(first) as stream:
        event = stream.event()
    eventually(lambda: first.available() == 9, "the sale shows")
    first.stop()
    second = start(INITIAL_STOCK=20, **settings)
    if ledger == "memory:":
        sell(second)  # as many entries as the first had
    with Stream(second, last_id=event.id) as stream:
        assert re.fullmatch(r"retry: \d+", stream.block())
        if ledger == "memory:":
            again = stream.event()
            assert (again.id, again.qty) == (event.id, 19)
        else:
            assert stream.silent(2 * INTERVAL_S)
    answer = second.ask("GET", AVAILABLE, headers={"If-None-Match": tag})
    assert answer.status == 200 and answer["ETag"] != tag


# A silent stream gets a comment, as often as the setting says.
def test_heartbeat(start):
    server = start(STREAM_HEARTBEAT="0.3")
    with Stream(server) as stream:
        event = stream.event()
        began = time.monotonic()
        while stream.comments < 3:
            assert stream.block() == ":"
            stream.comments += 1
        took = time.monotonic() - began
        assert 0.9 <= took <= 3 * (0.3 + INTERVAL_S) + SLACK_S, took
        left = sell(server)
        assert stream.until(lambda event: True)[-1].qty == left
        assert event.qty > left


# ---------------------------------------------------------------- limits


# Beyond the limit a client is told to come later, and finds room when another one has left; a reload
# takes another limit over.
def test_streams_max(start):
    server = start(config={"STREAMS_MAX": 2, "WORKERS": 1})
    first, second = Stream(server), Stream(server)
    refused = Stream(server)
    assert refused.head.status == 503
    with Client(server.address_for(STREAM)) as client:
        answer = client.ask("GET", STREAM)
        assert_problem(answer, 503, "overloaded")
        assert 1 <= int(answer["Retry-After"]) <= 3
        assert "close" in answer.tokens("Connection")
    assert server.ask("GET", AVAILABLE).status == 200
    first.close()

    def finds_room():
        with Stream(server) as stream:
            return stream.head.status == 200
    eventually(finds_room, "a stream finds room")
    server.write_config({"STREAMS_MAX": 0, "WORKERS": 1})
    reload_and_wait(server)
    assert_problem(server.ask("GET", STREAM), 503, "overloaded")
    second.close()


# A stream is a connection: it takes a place of MAX_CONNECTIONS until it ends.
def test_max_connections(start):
    server = start(**ALONE, MAX_CONNECTIONS=2, WORKERS=1)
    with Stream(server) as stream, server.connect() as idle, server.connect() as waiting:
        assert idle.ask("GET", AVAILABLE).status == 200
        waiting.send(request_bytes("GET", AVAILABLE))
        assert waiting.silent(0.4)
        stream.close()
        assert waiting.answer().status == 200


# However many want to listen, a quarter of MAX_CONNECTIONS is left to buyers.
@pytest.mark.parametrize("workers", [1, 2])
def test_buyers_find_room(start, workers):
    server = start(**ALONE, MAX_CONNECTIONS=16, WORKERS=workers)
    streams = [Stream(server) for _ in range(20)]
    listening = [stream for stream in streams if stream.head.status == 200]
    assert len(listening) <= 12 and {stream.head.status for stream in streams} == {200, 503}
    assert server.ask("POST", RESERVE, {"qty": 1}).status == 200
    for stream in listening:
        stream.until(lambda event: event.id == 2)
    for stream in streams:
        stream.close()


# No limit of time that holds for requests and idle connections ends a silent stream.
def test_time_limits(start):
    server = start(KEEPALIVE_TIMEOUT=1, REQUEST_TIMEOUT="0.3", WRITE_TIMEOUT=1)
    with Stream(server) as stream:
        stream.event()
        assert stream.silent(2.2)
        left = sell(server)
        assert stream.event().qty == left


# A client that closes its writing half has said that it wants no more, and its stream ends; so does
# that of one that goes without a word.
def test_leaving(start):
    server = start(**ALONE, MAX_CONNECTIONS=1, WORKERS=1)
    for leave in ("half", "close", "reset", "at once"):
        with Client(server.address_for(STREAM)) as client:
            client.send(request_bytes("GET", STREAM))
            if leave != "at once":
                eventually(lambda client=client: client._more() and b"data:" in client.data, "an event came")
            if leave == "half":
                client.sock.shutdown(1)
                assert client.rest().endswith(b"\r\n0\r\n\r\n")
            elif leave == "reset":
                client.reset()
        # the one place is free again
        assert server.ask("GET", AVAILABLE).status == 200


# ---------------------------------------------------------------- ends


# A reload ends every stream in order, and clients that come back miss nothing and hear nothing twice,
# while tickets are sold all the time.
def test_reload(start):
    server = start(WORKERS=2)
    with Source(server) as source, Load(server, connections=2, path=SELL_PATH, pause_s=0.01) as load:
        source.until(lambda source: len(source.events) >= 2)
        for ends in (1, 2):
            reload_and_wait(server)
            source.until(lambda source, ends=ends: source.ends == ends and source.stream is not None)
            come = len(source.events)
            source.until(lambda source, come=come: len(source.events) > come)
        load.finish()
        left = server.available()
        source.until(lambda source: source.events[-1].qty == left)
        source.check()
    assert (source.ends, source.breaks, source.refused) == (2, 0, 0)
    assert not load.failures, load.failures[:3]


# What was sold while a client was away it hears of when it comes back.
def test_resume_after_reload(start):
    server = start(WORKERS=2)
    with Stream(server) as stream:
        event = stream.event()
        reload_and_wait(server)
        with pytest.raises(Ended):
            stream.event()
    left = sell(server, 5)
    with Stream(server, last_id=event.id) as stream:
        assert stream.event().qty == left


# A stop does not wait for streams: they end at once, and in order.
def test_stop(start):
    server = start(WORKERS=2, SHUTDOWN_TIMEOUT=10, DRAIN_IDLE_TIMEOUT=0)
    streams = [Stream(server) for _ in range(100)]
    try:
        for stream in streams:
            stream.event()
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        for stream in streams:
            with pytest.raises(Ended):
                stream.event()
        assert server.wait_exit() == 0
        assert time.monotonic() - began < 2 + SLACK_S
    finally:
        for stream in streams:
            stream.close()


# A worker that is killed breaks its streams; their clients find another one and miss nothing.
def test_killed_worker(start):
    server = start(WORKERS=2)
    sources = [Source(server) for _ in range(6)]
    try:
        for source in sources:
            source.until(lambda source: source.events)
        victims = server.workers()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        server.wait_workers(2, without=victims)
        left = sell(server, 2)
        for source in sources:
            source.until(lambda source: source.events[-1].qty == left)
            source.check()
            assert source.breaks >= 1 and source.ends == 0
    finally:
        for source in sources:
            source.__exit__()


# A stream is logged once, when it is over.
def test_access_log(start):
    server = start(ACCESS_LOG="true", WORKERS=1)
    with Stream(server, headers=[("X-Request-ID", "the-stream")]) as stream:
        stream.event()
        stays(lambda: not [e for e in server.log if e.get("request_id") == "the-stream"], "nothing is logged", 0.3)
    server.wait_log(lambda entry: entry.get("request_id") == "the-stream")


# Buyers are served while a crowd listens, and the crowd hears of it.
def test_crowd(start):
    server = start(WORKERS=1)
    streams = [Stream(server) for _ in range(300)]
    try:
        with Load(server, connections=4, path=SELL_PATH) as load:
            load.wait_answers(200)
        assert not load.failures
        left = server.available()
        for stream in streams:
            stream.until(lambda event: event.qty == left)
    finally:
        for stream in streams:
            stream.close()


# ---------------------------------------------------------------- the entity tag


# Who has the state already gets 304 without a body, and after a change the new one; whichever worker
# answers.
def test_etag(start):
    server = start(WORKERS=3)
    answers = [server.ask("GET", AVAILABLE) for _ in range(6)]
    tag = answers[0]["ETag"]
    assert {answer["ETag"] for answer in answers} == {tag}
    assert re.fullmatch(r'"[0-9a-f]{16}-\d+"', tag)
    assert "etag" in answers[0].tokens("Access-Control-Expose-Headers")
    for value in (tag, "W/" + tag, f'"other", {tag}', "*"):
        answer = server.ask("GET", AVAILABLE, headers={"If-None-Match": value})
        assert answer.status == 304, value
        assert answer["ETag"] == tag and answer["Cache-Control"] == "public, max-age=1"
        assert answer["Content-Type"] is None and answer["Content-Length"] is None
        assert server.ask("HEAD", AVAILABLE, headers={"If-None-Match": value}).status == 304
    assert server.ask("HEAD", AVAILABLE)["ETag"] == tag
    left = sell(server)
    answer = server.ask("GET", AVAILABLE, headers={"If-None-Match": tag})
    assert answer.status == 200 and answer.json() == {"qty": left} and answer["ETag"] != tag


# A connection goes on after a 304, whose length is known to be nothing.
def test_keepalive_after_304(server):
    with server.connect() as client:
        tag = client.ask("GET", AVAILABLE)["ETag"]
        for _ in range(3):
            assert client.ask("GET", AVAILABLE, headers={"If-None-Match": tag}).status == 304
        assert client.ask("POST", RESERVE, {"qty": 1}).status == 200
        assert client.ask("GET", AVAILABLE, headers={"If-None-Match": tag}).status == 200


# A reload changes nothing that a tag names.
def test_etag_over_reload(start):
    server = start()
    tag = server.ask("GET", AVAILABLE)["ETag"]
    reload_and_wait(server)
    assert server.ask("GET", AVAILABLE, headers={"If-None-Match": tag}).status == 304
