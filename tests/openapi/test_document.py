"""The document of each role is valid OpenAPI, its examples are what it says, and so are the answers."""

import json
import re

import harness
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

ORIGIN = "https://tickets.example"


def resolve(document, node):
    """What a node is, wherever it is written down."""
    while "$ref" in node:
        at = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        node = at
    return node


def validator(document, schema):
    """References of a schema lead from the document's root."""
    if schema is True or schema is False:
        return Draft202012Validator(schema)
    rooted = {**schema, "components": document["components"]}
    return Draft202012Validator(rooted, format_checker=FormatChecker())


def examples(node, path="#"):
    """(where, schema, value) of every example below a node."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from examples(item, f"{path}/{index}")
    if not isinstance(node, dict):
        return
    if isinstance(node.get("examples"), list):
        for value in node["examples"]:
            yield path, node, value
    if "schema" in node:
        if "example" in node:
            yield path, node["schema"], node["example"]
        for name, example in node.get("examples", {}).items():
            yield f"{path}/{name}", node["schema"], example["value"]
    for name, child in node.items():
        if name not in ("example", "examples", "enum", "const"):
            yield from examples(child, f"{path}/{name}")


# The official schema of OpenAPI 3.1, and what it cannot say: references, path parameters, ids.
def test_valid(described):
    assert described.document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(described.document).validate()


# What is shown as an example is one.
def test_examples(described):
    seen = 0
    for where, schema, value in examples(described.document):
        errors = [error.message for error in validator(described.document, schema).iter_errors(value)]
        assert not errors, f"{where}: {errors}"
        seen += 1
    assert seen > 40, "examples are no longer found"


def assert_described(described, method, path, answer):
    """The answer has a described status, and type, body and headers as described for it."""
    document = described.document
    responses = document["paths"][path][method.lower()]["responses"]
    assert str(answer.status) in responses, answer
    response = resolve(document, responses[str(answer.status)])
    for name, header in response.get("headers", {}).items():
        header, value = resolve(document, header), answer[name]
        if value is None:
            assert not header.get("required"), f"{name} is missing: {answer}"
            continue
        if resolve(document, header["schema"]).get("type") == "integer":
            value = int(value)
        validator(document, header["schema"]).validate(value)
    if "content" not in response:
        assert answer.body == b"", answer
        return
    kind = answer["Content-Type"].partition(";")[0]
    assert kind in response["content"], answer
    if kind.endswith("json"):
        validator(document, response["content"][kind]["schema"]).validate(json.loads(answer.body))


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def concrete(path):
    """A path whose parameter is of an order that no test has."""
    return path.replace("{id}", "ffff0000-0001-8007-8000-000000000009").replace("{name}", "none")


# Each operation answers as it is described to what any request may have wrong, and to no other status.
@pytest.mark.parametrize("status, headers, body", [
    (400, [("Host", "a"), ("Host", "b")], None),
    (400, [("Transfer-Encoding", "chunked")], b"0\r\n\r\n"),
    (413, [], b" " * 400000),
    (417, [("Expect", "a-miracle")], b'{"qty":1}'),
    (431, [("X-Padding", "x" * 20000)], None),
])
def test_refused_everywhere(described, status, headers, body):
    for method, path, _ in operations(described.document):
        answer = described.ask(method, concrete(path), body, headers)
        assert answer.status == status, (method, path, answer)
        assert_described(described, method, path, answer)


# A method that a path does not offer gets what its operations say of that.
def test_other_methods(described):
    for method, path, _ in operations(described.document):
        answer = described.ask("DELETE", concrete(path))
        assert answer.status == 405
        assert_described(described, method, path, answer)


# What only sales and batches can have wrong, to each of them.
@pytest.mark.parametrize("status, headers, body", [
    (400, {}, b"{"),
    (403, {"Origin": "https://elsewhere.example"}, b'{"qty":1}'),
    (415, {"Content-Type": "text/plain"}, b'{"qty":1}'),
    (422, {}, b'{"qty":0}'),
    (422, {}, b"[]"),
])
def test_sales_refused(described, status, headers, body):
    posts = [path for method, path, _ in operations(described.document) if method == "POST"]
    assert posts
    for path in posts:
        answer = described.ask("POST", path, body, headers)
        assert answer.status == status
        assert_described(described, "POST", path, answer)


# A key's three answers: sold, told again, refused for another quantity.
def test_keys(described):
    for path in described.document["paths"]:
        if path not in ("/api/v1/purchase", "/api/v1/reserve"):
            continue
        key = {"Idempotency-Key": f'"{described.pool}{path}"', "Origin": ORIGIN}
        first = described.ask("POST", path, {"qty": 2}, key)
        again = described.ask("POST", path, {"qty": 2}, key)
        other = described.ask("POST", path, {"qty": 3}, key)
        assert (first.status, again.status, other.status) == (200, 200, 422)
        assert (first["Idempotent-Replayed"], again["Idempotent-Replayed"]) == (None, "true")
        for answer in (first, again, other):
            assert_described(described, "POST", path, answer)


# The link of a sale leads to its order.
def test_link(described):
    document = described.document
    for method, path, operation in operations(document):
        for link in operation["responses"]["200"].get("links", {}).values():
            link = resolve(document, link)
            sale = described.ask(method, path, {"qty": 1})
            (name, expression), = link["parameters"].items()
            member = expression.removeprefix("$response.body#/")
            target, = (to for _, to, found in operations(document) if found["operationId"] == link["operationId"])
            answer = described.ask("GET", target.replace("{" + name + "}", sale.json()[member]))
            assert answer.status == 200 and answer.json()["qty"] == 1
            assert_described(described, "GET", target, answer)
            break
    assert any("links" in found["responses"]["200"] for _, _, found in operations(document))


def is_stream(document, operation):
    return "text/event-stream" in resolve(document, operation["responses"]["200"])["content"]


# The first event of each stream has the id and the data that are described.
def test_streams(described):
    document = described.document
    streams = [(path, operation) for method, path, operation in operations(document) if is_stream(document, operation)]
    if not streams:
        pytest.skip("this pool has no stream")
    for path, operation in streams:
        with harness.Client(described.address) as client:
            client.send(harness.request_bytes("GET", path))
            while (event := re.search(rb"id: (.+)\ndata: (.+)\n\n", client.data)) is None:
                client.data += client.sock.recv(65536)
        content = resolve(document, operation["responses"]["200"])["content"]["text/event-stream"]
        schema = resolve(document, content["schema"])
        validator(document, schema).validate({"id": event[1].decode(), "data": event[2].decode()})
        validator(document, schema["properties"]["data"]["contentSchema"]).validate(json.loads(event[2]))


# Each GET answers as it is described, and with 304 where that is described and the client has it.
def test_gets(described):
    for method, path, operation in operations(described.document):
        if method != "GET" or is_stream(described.document, operation):
            continue
        answer = described.ask("GET", concrete(path))
        assert_described(described, "GET", path, answer)
        if answer.status == 200 and answer["ETag"] is not None:
            had = described.ask("GET", concrete(path), headers={"If-None-Match": answer["ETag"]})
            assert had.status == 304
            assert_described(described, "GET", path, had)
