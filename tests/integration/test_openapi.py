"""GET /openapi.json: what it describes is what the process serves, and how it is fetched and cached.

tests/openapi has what needs a validator of OpenAPI."""

import gzip
import json
import re
import signal

import pytest

import harness
from harness import AVAILABLE, POOLS, PURCHASE

DOCUMENT = "/openapi.json"
# one path of each pool that the mode has
PATHS = {"monolith": AVAILABLE, "vacancy": AVAILABLE, "ticket": PURCHASE}


@pytest.fixture(params=POOLS)
def client(server, request):
    with server.connect(PATHS[request.param]) as connection:
        yield connection


def fetched(client):
    answer = client.ask("GET", DOCUMENT)
    assert answer.status == 200, answer
    return answer.json()


def operations(document):
    return {(method.upper(), path): operation
            for path, item in document["paths"].items() for method, operation in item.items()}


def references(node):
    """Every reference below a node."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)


# The list at "/" and the document tell the same of the same paths.
def test_operations_are_those_of_the_root(client):
    listed = {(entry["method"], entry["path"]): entry["summary"] for entry in client.ask("GET", "/").json()["endpoints"]}
    described = operations(fetched(client))
    assert {key: operation["summary"] for key, operation in described.items()} == listed


# So they do of the problems: each code is in the schema of its status, with its title.
def test_problems_are_those_of_the_root(client):
    root = client.ask("GET", "/").json()
    document = fetched(client)
    assert document["info"]["version"] == root["version"]
    schemas = document["components"]["schemas"]
    assert schemas["Problem"]["properties"]["code"]["enum"] == [problem["code"] for problem in root["problems"]]
    for name, schema in schemas.items():
        if not re.fullmatch(r"Problem\d+", name):
            continue
        told = schema["properties"]
        expected = [problem for problem in root["problems"] if f"Problem{problem['status']}" == name]
        assert told["code"]["enum"] == [problem["code"] for problem in expected]
        assert {(told["status"]["const"], told["title"]["const"])} == {(p["status"], p["title"]) for p in expected}


# Nothing is described that nothing refers to, and each reference leads somewhere.
def test_components_are_used(client):
    document = fetched(client)
    there = {f"#/components/{section}/{name}"
             for section, named in document["components"].items() for name in named}
    assert set(references(document)) == there
    used = {tag for operation in operations(document).values() for tag in operation["tags"]}
    assert {tag["name"] for tag in document["tags"]} == used


# An operation has a name of its own, a description, and something to say of every refusal.
def test_operations_are_whole(client):
    described = operations(fetched(client))
    names = [operation["operationId"] for operation in described.values()]
    assert len(set(names)) == len(names)
    for key, operation in described.items():
        assert operation["description"], key
        assert {"200", "400", "405", "413", "417", "431"} <= set(operation["responses"]), key


# The limit of a batch is the setting's.
def test_batch_max(start):
    server = start(BATCH_MAX=7, **harness.ALONE)
    with server.connect() as client:
        batch = fetched(client)["components"]["schemas"]["BatchRequest"]
        assert batch["properties"]["requests"]["maxItems"] == 7


# Who has it is told so, in either form; a cache must ask each time.
def test_cached(client):
    tags = set()
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        answer = client.ask("GET", DOCUMENT, headers=headers)
        assert answer["Cache-Control"] == "no-cache"
        assert re.fullmatch(r'"[!#-~]+"', answer["ETag"])
        assert client.ask("HEAD", DOCUMENT, headers=headers)["ETag"] == answer["ETag"]
        had = client.ask("GET", DOCUMENT, headers={**headers, "If-None-Match": answer["ETag"]})
        assert (had.status, had.body) == (304, b"")
        assert (had["ETag"], had["Cache-Control"]) == (answer["ETag"], "no-cache")
        assert "accept-encoding" in answer.tokens("Vary") and "accept-encoding" in had.tokens("Vary")
        assert client.ask("GET", DOCUMENT, headers={**headers, "If-None-Match": '"other"'}).status == 200
        tags.add(answer["ETag"])
    assert len(tags) == 2, "a strong tag is of one form only"


# It is compressed for who takes that, and the same.
def test_compressed(client):
    plain = client.ask("GET", DOCUMENT)
    packed = client.ask("GET", DOCUMENT, headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 3
    assert json.loads(gzip.decompress(packed.body)) == plain.json()


# All workers, those after a reload too, have the same document under the same tag.
def test_same_of_every_worker(start):
    server = start(WORKERS=3, **harness.ALONE)
    def ask():
        with server.connect() as client:
            answer = client.ask("GET", DOCUMENT)
        return answer["ETag"], answer.body

    seen = {ask() for _ in range(12)}
    mark = server.mark()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", mark)
    assert seen == {ask()}
