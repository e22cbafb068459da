"""The pages for people and the files that they are made of, as HTTP sees them; tests/browser looks at them."""

import gzip
import re
import signal

import pytest

import harness

PAGES = ["/docs", "/redoc"]
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.fixture(params=harness.POOLS)
def client(request, server):
    """A connection to each pool of the server by turns: all of them serve these paths."""
    with harness.Client(server._address_of(request.param)) as one:
        yield one


def references(client):
    """Path of every file that a page names."""
    found = set()
    for page in PAGES:
        for address in re.findall(r'(?:href|src)="(assets/[^"]*)"', client.ask("GET", page).body.decode()):
            found.add("/" + address)
    assert found
    return found


def assert_forms(client, path):
    """What is at a path comes as it is and compressed, each with a tag of its own, by which it is not sent again;
    and HEAD says the same.  Returns both answers."""
    plain, packed = client.ask("GET", path), client.ask("GET", path, headers=GZIP)
    assert (plain.status, packed.status) == (200, 200)
    assert (plain["Content-Encoding"], packed["Content-Encoding"]) == (None, "gzip")
    assert gzip.decompress(packed.body) == plain.body
    assert plain["ETag"] != packed["ETag"]
    for headers, answer in ({}, plain), (GZIP, packed):
        assert "accept-encoding" in answer.tokens("Vary")
        assert answer["X-Content-Type-Options"] == "nosniff"
        head = client.ask("HEAD", path, headers=headers)
        again = client.ask("GET", path, headers={**headers, "If-None-Match": answer["ETag"]})
        assert (head.status, again.status, again.body) == (200, 304, b"")
        for name in ("ETag", "Cache-Control", "Content-Security-Policy"):
            assert head[name] == again[name] == answer[name]
        assert (head["Content-Length"], head["Content-Encoding"]) == (answer["Content-Length"], answer["Content-Encoding"])
    return plain, packed


# A page is asked for again each time, and comes only if it is another one.
@pytest.mark.parametrize("path", PAGES)
def test_page(client, path):
    for answer in assert_forms(client, path):
        assert answer["Content-Type"] == "text/html; charset=utf-8"
        assert answer["Cache-Control"] == "no-cache"


# The policy lets nothing in that does not come from here, and no script but files; and the page has none of its own.
@pytest.mark.parametrize("path", PAGES)
def test_policy(client, path):
    answer = client.ask("GET", path)
    policy = {name: values for name, *values in
              (part.split() for part in answer["Content-Security-Policy"].split(";"))}
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
    assert policy["script-src"] == policy["connect-src"] == ["'self'"]
    assert not re.search(r"unsafe|https?:|\*", answer["Content-Security-Policy"])
    text = answer.body.decode()
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:", text)
    assert not re.search(r'(href|src)="(/|[a-z]+:)', text)


# A file may be kept for ever, since its name changes with what is in it.
def test_files(client):
    for path in references(client):
        for answer in assert_forms(client, path):
            assert answer["Cache-Control"] == "public, max-age=31536000, immutable"


# The licences of what is taken from others are there to be read.
def test_notices(client):
    if b"built without npm" in client.ask("GET", "/docs").body:
        pytest.skip("nothing is taken from others in this build")
    (path,) = [path for path in references(client) if path.startswith("/assets/third-party-notices-")]
    text = client.ask("GET", path).body.decode()
    for package in ("redoc", "swagger-ui-dist", "uplot"):
        assert re.search(rf"^{package} [\d.]+ \(", text, re.MULTILINE)
    assert "Apache License" in text and "Permission is hereby granted" in text


# The name of no file, or of one with another hash or none, is nothing, and no cache keeps that.
@pytest.mark.parametrize("name", ["x.js", "page.css", "icon-0000000000000000.svg"])
def test_no_file(client, name):
    answer = client.ask("GET", f"/assets/{name}")
    harness.assert_problem(answer, 404, "not_found")
    assert answer["Cache-Control"] == "no-store"


# Without DOCS there is no such path, and none is told of; a reload brings both.
def test_docs_off(start):
    def listed():
        return {endpoint["path"] for endpoint in server.ask("GET", "/").json()["endpoints"]}

    server = start(config={"DOCS": "false"})
    for path in PAGES:
        harness.assert_problem(server.ask("GET", path), 404, "not_found")
    assert not listed() & set(PAGES)
    server.write_config({"DOCS": "true"})
    server.send_signal(signal.SIGHUP)
    harness.eventually(lambda: server.ask("GET", "/docs").status == 200, "the page is there")
    harness.eventually(lambda: listed() >= set(PAGES), "the list names the pages")
