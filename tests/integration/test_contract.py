"""The HTTP contract: every endpoint's exact fields, errors as problem documents, the middleware."""

import gzip
import json
import re
import uuid

import pytest

from harness import AVAILABLE, MODE, PURCHASE, RESERVE, assert_problem

HEALTH = ["/health", "/api/v1/health"]
READY = ["/ready", "/api/v1/ready"]
GETS = ["/", AVAILABLE, *HEALTH, *READY]
POSTS = [RESERVE, PURCHASE]
ORDERS = "/api/v1/orders"
# well-formed, and of an event that no test has
NO_ORDER = ORDERS + "/ffff0000-0001-8007-8000-000000000009"
ORDER_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


# The stock is answered as the one field that clients know, and caches may keep it for a second.
def test_available(server):
    answer = server.ask("GET", AVAILABLE)
    assert answer.status == 200
    assert answer["Content-Type"] == "application/json"
    assert isinstance(answer.json()["qty"], int)
    assert answer["Cache-Control"] == "public, max-age=1"


# A sale takes exactly what it says, and says what is left.
@pytest.mark.parametrize("path, message", [(RESERVE, "Reserved 2 tickets"), (PURCHASE, "Purchase successful!")])
def test_sale(server, path, message):
    before = server.available()
    answer = server.ask("POST", path, {"qty": 2})
    assert answer.status == 200
    assert answer["Content-Type"] == "application/json"
    said = answer.json()
    assert said["success"] is True
    assert said["remaining"] == before - 2
    assert said["message"] == message
    assert re.fullmatch(ORDER_ID, said["order_id"])
    assert server.available() == before - 2


# One ticket is a ticket, in the words of the original contract.
def test_sale_of_one(server):
    assert server.ask("POST", RESERVE, {"qty": 1}).json()["success"] is True


# An answer to a sale must never come out of a cache.
@pytest.mark.parametrize("path", POSTS)
def test_sale_is_not_cacheable(server, path):
    cache_control = server.ask("POST", path, {"qty": 1})["Cache-Control"]
    assert cache_control is None or "no-store" in cache_control


# Sold out is no error: 200, success false, and the true stock, which is left as it was.
@pytest.mark.parametrize("path", POSTS)
def test_sold_out(start, path):
    server = start(INITIAL_STOCK=3)
    answer = server.ask("POST", path, {"qty": 4})
    assert answer.status == 200
    said = answer.json()
    assert (said["success"], said["remaining"], said["message"]) == (False, 3, "Insufficient inventory")
    assert "order_id" not in said
    assert server.ask("POST", path, {"qty": 3}).json()["remaining"] == 0
    said = server.ask("POST", path, {"qty": 1}).json()
    assert (said["success"], said["remaining"], said["message"]) == (False, 0, "Insufficient inventory")
    assert server.available() == 0


# A stock of nothing is a valid stock.
def test_initial_stock_of_zero(start):
    server = start(INITIAL_STOCK=0)
    assert server.available() == 0
    assert server.ask("POST", RESERVE, {"qty": 1}).json()["success"] is False


# The whole range of a quantity can be sold at once.
def test_largest_quantity(start):
    server = start(INITIAL_STOCK=2147483647)
    said = server.ask("POST", RESERVE, {"qty": 2147483647}).json()
    assert (said["success"], said["remaining"]) == (True, 0)


# A key in either form is taken; that it sold before is said only where it did.
@pytest.mark.parametrize("form", ["{}", '"{}"', ' \t"{}" '])
@pytest.mark.parametrize("path", POSTS)
def test_idempotency_key(server, path, form):
    key = form.format(uuid.uuid4())
    answer = server.ask("POST", path, {"qty": 1}, {"Idempotency-Key": key})
    assert answer.status == 200 and answer.json()["success"] is True
    assert answer["Idempotent-Replayed"] is None


# A malformed key, or a second one, sells nothing.
@pytest.mark.parametrize("values", [
    [""], ['""'], ['"a'], ["a b"], ['"a b"'], ['"a\\b"'], ['"a";p=1'], ['"a", "b"'], ["caf\xe9"],
    ["x" * 256], ['"' + "x" * 256 + '"'], ["a", "a"], ["a", "b"]])
@pytest.mark.parametrize("path", POSTS)
def test_idempotency_key_refused(server, unsold, path, values):
    answer = server.ask("POST", path, {"qty": 1}, [("Idempotency-Key", value) for value in values])
    assert_problem(answer, 400, "invalid_idempotency_key")


# What is no order's id, and an id of no order, are the same to a client.
@pytest.mark.parametrize("path", [NO_ORDER, NO_ORDER.upper().replace("/API/V1/ORDERS", ORDERS),
                                  ORDERS + "/1", ORDERS + "/%00", NO_ORDER + "0", NO_ORDER[:-1]])
def test_no_order(server, path):
    assert_problem(server.ask("GET", path), 404, "order_not_found")


# Around the orders there is nothing, and one of them can only be read.
def test_paths_of_orders(server):
    for path in (ORDERS, ORDERS + "/", ORDERS + "/a/b", NO_ORDER + "/"):
        assert_problem(server.ask("GET", path), 404, "not_found")
    answer = server.ask("DELETE", NO_ORDER)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD, OPTIONS"
    assert server.ask("HEAD", NO_ORDER).status == 404


# The operator's paths are not the public's, whatever Host asks for them.
@pytest.mark.parametrize("path", ["/control/v1/status", "/control/v1/stock", "/control/v1/reload"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_control_is_not_public(server, method, path):
    answer = server.ask(method, path, {} if method == "POST" else None, {"Host": "control"})
    assert_problem(answer, 404, "not_found")


# Health says that the process lives and which service it is.
@pytest.mark.parametrize("path", HEALTH)
def test_health(server, path):
    answer = server.ask("GET", path)
    assert answer.status == 200
    assert answer["Content-Type"] == "application/json"
    said = answer.json()
    assert said["status"] == "healthy"
    assert said["service"] == server.service_for(path)


# Ready names the one dependency.
@pytest.mark.parametrize("path", READY)
def test_ready(server, path):
    answer = server.ask("GET", path)
    assert answer.status == 200
    said = answer.json()
    assert said["status"] == "ready"
    assert said["service"] == server.service_for(path)
    assert said["dependencies"]["vacancy"] == "healthy"


# A cached "healthy" would hide a death from the load balancer.
@pytest.mark.parametrize("path", HEALTH + READY)
def test_health_is_not_cacheable(server, path):
    cache_control = server.ask("GET", path)["Cache-Control"]
    assert cache_control is None or "no-store" in cache_control or "no-cache" in cache_control


# The root describes the service and lists each endpoint once.
def test_root(start):
    server = start(SERVICE_NAME="box-office", ENVIRONMENT="staging")
    for method, path in (("GET", AVAILABLE), ("POST", RESERVE), ("POST", PURCHASE)):
        with server.connect(path) as client:
            said = client.ask("GET", "/").json()
        assert said["service"] == "box-office"
        assert re.fullmatch(r"\d+\.\d+\.\d+\S*", said["version"])
        assert (said["mode"], said["role"]) == (MODE, server.service_for(path))
        assert said["environment"] == "staging"
        listed = [(entry["method"], entry["path"]) for entry in said["endpoints"]]
        assert len(listed) == len(set(listed))
        assert all(entry["summary"] for entry in said["endpoints"])
        assert {(method, path), ("GET", "/health"), ("GET", "/ready")} <= set(listed)


# What the root lists is there: no endpoint answers 404 or 405 to its own method (HEAD stands for GET,
# some of which have no end).
def test_root_lists_what_exists(server):
    for pool in (AVAILABLE, PURCHASE):
        with server.connect(pool) as client:
            listed = client.ask("GET", "/").json()["endpoints"]
        for entry in listed:
            if "{" not in entry["path"]:
                with server.connect(pool) as client:
                    method = entry["method"].replace("GET", "HEAD")
                    assert client.ask(method, entry["path"]).status not in (404, 405), entry


# CACHE_TTL_SECONDS becomes max-age, and 0 forbids keeping.
@pytest.mark.parametrize("ttl, expected", [("0", "no-store"), ("1", "public, max-age=1"), ("86400", "public, max-age=86400")])
def test_cache_control(start, ttl, expected):
    assert start(CACHE_TTL_SECONDS=ttl).ask("GET", AVAILABLE)["Cache-Control"] == expected


# ---------------------------------------------------------------- paths and methods


# Nothing but the exact paths exists.
@pytest.mark.parametrize("path", [
    "/nothing", "/health/", "/ready/", "/api/v1/available/", "/api/v1/available/x", "/api/v1",
    "/api/v1/", "/api/v1/reserve/1", "/api/v1/purchase/", "/API/v1/available", "/api/v1/Available",
    "/api/v1/availabl", "/api/v1/available2", "/api/v2/available", "/health%2f", "/health%00",
    "/%2e%2e/%2e%2e/etc/passwd", "/" + "a" * 4000])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_path(server, method, path):
    answer = server.ask(method, path, {"qty": 1} if method == "POST" else None)
    assert_problem(answer, 404, "not_found")


# OPTIONS does not invent paths either.
def test_unknown_path_options(server):
    assert server.ask("OPTIONS", "/nothing").status == 404


# A query changes nothing.
@pytest.mark.parametrize("query", ["?", "?x=1", "?qty=5&a=%00"])
def test_query_is_ignored(server, query):
    assert server.ask("GET", AVAILABLE + query).status == 200


# A wrong method is told which ones are right, and sells nothing.
@pytest.mark.parametrize("path", GETS + POSTS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "get"])
def test_wrong_method(server, unsold, method, path):
    if (method in ("GET", "HEAD") and path in GETS) or (method == "POST" and path in POSTS):
        pytest.skip("this one is right")
    body = {"qty": 1} if method in ("POST", "PUT", "PATCH") else None
    answer = server.ask(method, path, body)
    assert answer["Allow"] == ("GET, HEAD, OPTIONS" if path in GETS else "POST, OPTIONS")
    if method == "HEAD":
        assert (answer.status, answer.body) == (405, b"")
    else:
        assert_problem(answer, 405, "method_not_allowed")


# HEAD is GET without the body: the same headers, the same length.
@pytest.mark.parametrize("path", GETS)
def test_head(server, path):
    with server.connect(path) as client:
        got = client.ask("GET", path)
        head = client.ask("HEAD", path)
        assert head.status == got.status == 200
        for name in ("Content-Length", "Content-Type", "Cache-Control"):
            assert head[name] == got[name]
        assert got["Content-Length"] is not None
        # nothing of a body was sent: the next answer on the connection is in its place
        assert client.ask("GET", path).status == 200


# HEAD of what is not there is a 404 without a body.
def test_head_unknown(server):
    with server.connect() as client:
        assert client.ask("HEAD", "/nothing").status == 404
        assert client.ask("GET", AVAILABLE).status == 200


# OPTIONS without a preflight's headers tells the methods.
@pytest.mark.parametrize("path", GETS + POSTS)
def test_options(server, path):
    answer = server.ask("OPTIONS", path)
    assert answer.status == 204
    assert answer["Allow"] == ("GET, HEAD, OPTIONS" if path in GETS else "POST, OPTIONS")
    assert answer["Content-Length"] in (None, "0")


# ---------------------------------------------------------------- content type


# JSON under any of its names is taken; so is a body without a type.
@pytest.mark.parametrize("value", [
    None, "application/json", "application/json;charset=utf-8", "application/json; charset=utf-8",
    "application/json ; charset=\"UTF-8\"", "Application/JSON", "application/vnd.ticket+json",
    "application/vnd.ticket+json; v=1"])
@pytest.mark.parametrize("path", POSTS)
def test_content_type(server, path, value):
    answer = server.ask("POST", path, {"qty": 1}, {} if value is None else {"Content-Type": value})
    assert answer.status == 200, answer


# Anything else is refused before it can sell: a form of another site carries such a type.
@pytest.mark.parametrize("value", [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/html",
    "application/jsonx", "application/xml", "json", "application/json, text/plain", "image/svg+xml",
    "text/plain; application/json", "application/"])
@pytest.mark.parametrize("path", POSTS)
def test_content_type_refused(server, unsold, path, value):
    answer = server.ask("POST", path, {"qty": 1}, {"Content-Type": value})
    assert_problem(answer, 415, "unsupported_media_type")


# ---------------------------------------------------------------- request ids


# A sane id comes back as it was sent.
@pytest.mark.parametrize("value", ["a", "7f3c", "x" * 128, "0!#$%&'*+-.^_`|~:/?@=,;()<>[]{}\"\\"])
def test_request_id_is_kept(server, value):
    assert server.ask("GET", AVAILABLE, headers={"X-Request-ID": value})["X-Request-ID"] == value


# An insane one is replaced, and the request served all the same.
@pytest.mark.parametrize("value", ["", " ", "x" * 129, "a b", "a\tb", "caf\xe9", "\xff\xfe"])
def test_request_id_is_replaced(server, value):
    answer = server.ask("GET", AVAILABLE, headers={"X-Request-ID": value})
    assert answer.status == 200
    made = answer["X-Request-ID"]
    assert made != value and re.fullmatch(r"[!-~]{1,128}", made)


# Every request without an id gets one of its own, over workers and connections.
def test_request_ids_are_unique(server):
    made = []
    for _ in range(10):
        with server.connect() as client:
            made += [client.ask("GET", "/health")["X-Request-ID"] for _ in range(10)]
    assert all(made) and len(set(made)) == len(made)


# Errors carry the id too, whoever made it.
@pytest.mark.parametrize("method, path, body, headers, status", [
    ("GET", "/nothing", None, {}, 404),
    ("DELETE", AVAILABLE, None, {}, 405),
    ("POST", RESERVE, b"{", {}, 400),
    ("POST", RESERVE, {"qty": 0}, {}, 422),
    ("POST", RESERVE, {"qty": 1}, {"Content-Type": "text/plain"}, 415),
    ("POST", RESERVE, b" " * 16385, {}, 413),
    ("OPTIONS", RESERVE, None, {}, 204),
])
def test_request_id_on_every_answer(server, method, path, body, headers, status):
    answer = server.ask(method, path, body, {**headers, "X-Request-ID": "mine-1"})
    assert answer.status == status
    assert answer["X-Request-ID"] == "mine-1"
    assert server.ask(method, path, body, headers)["X-Request-ID"]


# ---------------------------------------------------------------- compression


# A long answer is compressed for who asks for it, and a cache is told.
def test_gzip(server):
    plain = server.ask("GET", "/")
    assert len(plain.body) > 1024
    assert plain["Content-Encoding"] is None
    packed = server.ask("GET", "/", headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert "accept-encoding" in packed.tokens("Vary")
    assert len(packed.body) < len(plain.body)
    assert json.loads(gzip.decompress(packed.body)) == plain.json()


# Who refuses gzip does not get it.
@pytest.mark.parametrize("value", ["identity", "br", "gzip;q=0"])
def test_gzip_refused(server, value):
    answer = server.ask("GET", "/", headers={"Accept-Encoding": value})
    assert answer["Content-Encoding"] is None
    assert answer.json()["mode"] == MODE


# A short answer is not worth it, and keeps its Content-Length.
@pytest.mark.parametrize("method, path, body", [
    ("GET", AVAILABLE, None), ("POST", RESERVE, {"qty": 1}), ("GET", "/health", None), ("GET", "/nothing", None)])
def test_short_answers_are_not_compressed(server, method, path, body):
    answer = server.ask(method, path, body, {"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] is None
    assert answer["Content-Length"] is not None


# ---------------------------------------------------------------- the problem documents


# One type for each code and one title for each type: clients may switch on either.
def test_problem_types_are_stable(server):
    seen = {}
    for method, path, body, headers in [
            ("GET", "/nothing", None, {}), ("GET", "/nothing/else", None, {}),
            ("DELETE", RESERVE, None, {}), ("PUT", "/health", {}, {}),
            ("POST", RESERVE, b"{", {}), ("POST", PURCHASE, b"", {}),
            ("POST", RESERVE, {"qty": 0}, {}), ("POST", PURCHASE, {"qty": "1"}, {}),
            ("POST", RESERVE, {"qty": 1}, {"Content-Type": "text/plain"})]:
        problem = server.ask(method, path, body, headers).json()
        same = (problem["type"], problem["title"], problem["status"])
        assert seen.setdefault(problem["code"], same) == same
    assert len({same[0] for same in seen.values()}) == len(seen) or \
        {same[0] for same in seen.values()} == {"about:blank"}


# An error ends the request and not the connection.
@pytest.mark.parametrize("method, path, body, status", [
    ("GET", "/nothing", None, 404), ("PUT", RESERVE, {"qty": 1}, 405), ("POST", RESERVE, b"{", 400),
    ("POST", RESERVE, {"qty": 0}, 422), ("POST", "/nothing", {"qty": 1}, 404)])
def test_errors_keep_the_connection(server, method, path, body, status):
    with server.connect(path) as client:
        for _ in range(3):
            assert client.ask(method, path, body).status == status
            assert client.ask("GET", "/health").status == 200
