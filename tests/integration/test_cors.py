"""Browsers on other sites: who may call, who is told, and that a refusal sells nothing."""

import pytest

from harness import AVAILABLE, PURCHASE, RESERVE, Server, assert_problem

ALLOWED = "https://a.example"
ALSO_ALLOWED = "https://b.example"
FOREIGN = "https://evil.example"


@pytest.fixture(scope="module")
def restricted():
    server = Server(CORS_ALLOW_ORIGINS=f"{ALLOWED},{ALSO_ALLOWED}")
    yield server
    try:
        server.stop()
    finally:
        server.discard()


def preflight(server, path, origin, method="POST", headers="content-type,x-request-id"):
    return server.ask("OPTIONS", path, headers={
        "Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers})


# By default everybody may read every answer, an error's as well, with our own headers.
@pytest.mark.parametrize("method, path, body, headers, status", [
    ("GET", "/", None, {}, 200),
    ("GET", AVAILABLE, None, {}, 200),
    ("HEAD", AVAILABLE, None, {}, 200),
    ("GET", "/health", None, {}, 200),
    ("POST", RESERVE, {"qty": 1}, {}, 200),
    ("POST", PURCHASE, {"qty": 1}, {}, 200),
    ("GET", "/nothing", None, {}, 404),
    ("DELETE", AVAILABLE, None, {}, 405),
    ("POST", RESERVE, b"{", {}, 400),
    ("POST", RESERVE, {"qty": 0}, {}, 422),
    ("POST", RESERVE, {"qty": 1}, {"Content-Type": "text/plain"}, 415),
    ("POST", RESERVE, b" " * 16385, {}, 413),
    ("POST", RESERVE, {"qty": 1}, {"Expect": "a-miracle"}, 417),
])
@pytest.mark.parametrize("origin", [None, FOREIGN, "null"])
def test_everybody(server, method, path, body, headers, status, origin):
    answer = server.ask(method, path, body, {**headers, **({"Origin": origin} if origin else {})})
    assert answer.status == status
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert "x-request-id" in answer.tokens("Access-Control-Expose-Headers")
    assert answer["Access-Control-Allow-Credentials"] is None


# A preflight gets all that a browser needs to go on.
@pytest.mark.parametrize("path, method", [(AVAILABLE, "GET"), (RESERVE, "POST"), (PURCHASE, "POST")])
def test_preflight(server, path, method):
    answer = preflight(server, path, FOREIGN, method)
    assert answer.status == 204
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert method.lower() in answer.tokens("Access-Control-Allow-Methods")
    assert {"content-type", "x-request-id"} <= set(answer.tokens("Access-Control-Allow-Headers"))
    assert int(answer["Access-Control-Max-Age"]) > 0


# What is for operators is for no other site's pages, whatever CORS_ALLOW_ORIGINS allows: not to be asked for
# with headers of their own, and not to be read.
@pytest.mark.parametrize("path", ["/metrics", "/docs", "/redoc", "/dashboard", "/assets/none"])
def test_operators_pages(server, path):
    answer = server.ask("GET", path, headers={"Origin": FOREIGN})
    assert answer.status == (404 if path == "/assets/none" else 200)
    refused = preflight(server, path, FOREIGN, "GET")
    assert_problem(refused, 403, "origin_not_allowed")
    for one in (answer, refused, server.ask("HEAD", "/dashboard/stream", headers={"Origin": FOREIGN})):
        assert one["Access-Control-Allow-Origin"] is None


# The origins of the list are echoed, one at a time, and caches are told what it depends on.
@pytest.mark.parametrize("origin", [ALLOWED, ALSO_ALLOWED])
@pytest.mark.parametrize("method, path, body, status", [
    ("GET", AVAILABLE, None, 200), ("POST", RESERVE, {"qty": 1}, 200), ("POST", PURCHASE, {"qty": 1}, 200),
    ("GET", "/nothing", None, 404), ("POST", RESERVE, b"{", 400), ("POST", RESERVE, b" " * 16385, 413)])
def test_listed_origin(restricted, origin, method, path, body, status):
    answer = restricted.ask(method, path, body, {"Origin": origin})
    assert answer.status == status
    assert answer["Access-Control-Allow-Origin"] == origin
    assert "origin" in answer.tokens("Vary")
    assert "x-request-id" in answer.tokens("Access-Control-Expose-Headers")


# What only looks like a listed origin is another one.
LOOKALIKES = [
    FOREIGN, "null", "http://a.example", "https://a.example:8443", "https://a.example.evil.example",
    "https://xa.example", "https://a.exampl", "https://a.example/", "https://a.example,https://b.example",
    "*", "https://"]


# A POST from another site sells nothing; a form needs no preflight, so this must hold by itself.
@pytest.mark.parametrize("origin", LOOKALIKES)
@pytest.mark.parametrize("path", [RESERVE, PURCHASE])
def test_foreign_post(restricted, origin, path):
    before = restricted.available()
    answer = restricted.ask("POST", path, {"qty": 1}, {"Origin": origin})
    assert_problem(answer, 403, "origin_not_allowed")
    assert answer["Access-Control-Allow-Origin"] is None
    assert "origin" in answer.tokens("Vary")
    assert restricted.available() == before


# A preflight of another site is refused, whatever it would do.
@pytest.mark.parametrize("origin", LOOKALIKES)
@pytest.mark.parametrize("path, method", [(RESERVE, "POST"), (AVAILABLE, "GET")])
def test_foreign_preflight(restricted, origin, path, method):
    answer = preflight(restricted, path, origin, method)
    assert answer.status == 403
    assert answer["Access-Control-Allow-Origin"] is None


# A listed origin's preflight passes, and names it alone.
def test_listed_preflight(restricted):
    answer = preflight(restricted, RESERVE, ALSO_ALLOWED)
    assert answer.status == 204
    assert answer["Access-Control-Allow-Origin"] == ALSO_ALLOWED
    assert "origin" in answer.tokens("Vary")
    assert "post" in answer.tokens("Access-Control-Allow-Methods")


# A read from another site is answered, but its script may not see the answer.
@pytest.mark.parametrize("origin", LOOKALIKES)
def test_foreign_get(restricted, origin):
    answer = restricted.ask("GET", AVAILABLE, headers={"Origin": origin})
    assert answer.status == 200
    assert answer["Access-Control-Allow-Origin"] is None
    assert "origin" in answer.tokens("Vary")


# Who is no browser sends no Origin, and may buy.
def test_no_origin(restricted):
    answer = restricted.ask("POST", RESERVE, {"qty": 1})
    assert answer.status == 200
    assert answer["Access-Control-Allow-Origin"] is None
    assert "origin" in answer.tokens("Vary")


# gzip and CORS both add to Vary, and neither loses the other's word.
def test_vary_of_both(restricted):
    answer = restricted.ask("GET", "/", headers={"Origin": ALLOWED, "Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    assert {"origin", "accept-encoding"} <= set(answer.tokens("Vary"))
