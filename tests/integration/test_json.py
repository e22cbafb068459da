"""Bodies: what is JSON, what is a quantity, and that nothing else ever sells."""

import pytest

from harness import PURCHASE, RESERVE, assert_problem


def text(value):
    return value if isinstance(value, bytes) else value.encode()


# Any spelling of the same JSON sells.
@pytest.mark.parametrize("body", [
    '{"qty":1}', ' \t\r\n{ \t\r\n"qty" \t\r\n: \t\r\n1 \t\r\n} \t\r\n', r'{"\u0071ty":1}',
    '{"qty":1,"note":"\u00e9\u20ac\U0001f3ab"}', r'{"qty":1,"note":"\ud83c\udfab \" \\ \/ \b\f\n\r\t"}',
    '{"note":{"qty":5},"qty":1}', '{"qty":1,"x":[1,-0,0.5,1e5,1E-5,true,false,null,{},[]]}',
    '{"QTY":7,"qty":1,"Qty":9}', '{"":0,"qty":1}', '{"a":{"b":1},"c":{"b":1},"qty":1}'])
@pytest.mark.parametrize("path", [RESERVE, PURCHASE])
def test_valid(server, path, body):
    before = server.available()
    answer = server.ask("POST", path, text(body))
    assert answer.status == 200, answer
    assert answer.json()["remaining"] == before - 1


# Valid JSON whose quantity is no whole number from 1 to 2^31-1: 422, with a pointer to it.
@pytest.mark.parametrize("value", [
    "0", "-0", "-1", "-2147483648", "2147483648", "4294967297", "9007199254740993",
    "18446744073709551617", "1" + "0" * 400, "1.0", "1.5", "1e0", "1E0", "1e2", "10e-1", "1e400", "0.9999999999999999999",
    "2147483647.0", '"1"', '""', "true", "false", "null", "[]", "[1]", "{}", '{"qty":1}'])
@pytest.mark.parametrize("path", [RESERVE, PURCHASE])
def test_invalid_quantity(server, unsold, path, value):
    problem = assert_problem(server.ask("POST", path, text('{"qty":%s}' % value)), 422, "invalid_quantity")
    assert len(problem["errors"]) == 1
    assert problem["errors"][0]["pointer"] == "#/qty"
    assert problem["errors"][0]["detail"]


# A quantity that is not there is an invalid quantity; so is JSON that cannot hold one.
@pytest.mark.parametrize("body", [
    "{}", '{"QTY":1}', '{"Qty":1}', '{"qty ":1}', '{"quantity":1}', '{"a":{"qty":1}}', '{"":1}',
    "[]", '[{"qty":1}]', "1", "-1.5e3", '"qty"', '""', "null", "true", "false"])
@pytest.mark.parametrize("path", [RESERVE, PURCHASE])
def test_missing_quantity(server, unsold, path, body):
    problem = assert_problem(server.ask("POST", path, text(body)), 422, "invalid_quantity")
    assert problem["errors"] and all({"detail", "pointer"} <= error.keys() for error in problem["errors"])


# The largest quantity is valid: it asks for more than there is, which is no error.
@pytest.mark.parametrize("qty", [2147483647, 2147483646])
def test_largest_quantity_is_valid(server, unsold, qty):
    answer = server.ask("POST", RESERVE, {"qty": qty})
    assert answer.status == 200
    assert answer.json()["success"] is False


NOT_JSON = {
    "empty": "",
    "blank": " \r\n",
    "word": "qty",
    "form": "qty=1",
    "open object": '{"qty":1',
    "only a brace": "{",
    "closed twice": '{"qty":1}}',
    "wrong bracket": '{"qty":1]',
    "trailing word": '{"qty":1} x',
    "trailing object": '{"qty":1}{"qty":1}',
    "trailing comma": '{"qty":1,}',
    "leading comma": '{,"qty":1}',
    "no colon": '{"qty" 1}',
    "no value": '{"qty":}',
    "no name": '{:1}',
    "bare name": "{qty:1}",
    "single quotes": "{'qty':1}",
    "comment": '{"qty":1/* one */}',
    "line comment": '{"qty":1}//',
    "hash comment": '#\n{"qty":1}',
    "duplicate": '{"qty":1,"qty":2}',
    "same twice": '{"qty":1,"qty":1}',
    "escaped duplicate": r'{"qty":1,"\u0071ty":2}',
    "other duplicate": '{"qty":1,"a":1,"a":2}',
    "nested duplicate": '{"qty":1,"a":{"b":1,"b":2}}',
    "duplicate in an array": '{"qty":1,"a":[{"b":1,"b":2}]}',
    "duplicate outside of an object for us": '[{"b":1,"b":2}]',
    "leading zero": '{"qty":01}',
    "negative leading zero": '{"qty":-01}',
    "two zeros": '{"qty":00}',
    "leading zero elsewhere": '{"qty":1,"x":01}',
    "leading zero in an array": '{"qty":1,"x":[01]}',
    "plus": '{"qty":+1}',
    "bare minus": '{"qty":-}',
    "two minuses": '{"qty":--1}',
    "point without digits": '{"qty":1.}',
    "point first": '{"qty":.5}',
    "empty exponent": '{"qty":1e}',
    "signed empty exponent": '{"qty":1e+}',
    "point then exponent": '{"qty":1.e1}',
    "two points": '{"qty":1.2.3}',
    "hexadecimal": '{"qty":0x1}',
    "underscore": '{"qty":1_000}',
    "NaN": '{"qty":NaN}',
    "Infinity": '{"qty":Infinity}',
    "minus Infinity": '{"qty":-Infinity}',
    "True": '{"qty":True}',
    "half a word": '{"qty":1,"x":tru}',
    "long word": '{"qty":1,"x":truee}',
    "escaped NUL": r'{"qty":1,"x":"\u0000"}',
    "escaped NUL in a name": r'{"qty\u0000":1}',
    "escaped NUL before a duplicate": r'{"qty":1,"qty\u0000x":2}',
    "unknown escape": r'{"qty":1,"x":"\q"}',
    "short escape": r'{"qty":1,"x":"\u12"}',
    "bad digit in an escape": r'{"qty":1,"x":"\u12g4"}',
    "lone high surrogate": r'{"qty":1,"x":"\ud800"}',
    "lone low surrogate": r'{"qty":1,"x":"\udc00"}',
    "high surrogate twice": r'{"qty":1,"x":"\ud800\ud800"}',
    "escape at the end": '{"qty":1,"x":"\\',
    "open string": '{"qty":1,"x":"a}',
    "raw newline": '{"qty":1,"x":"a\nb"}',
    "raw tab": '{"qty":1,"x":"a\tb"}',
    "raw escape": '{"qty":1,"x":"\x1b[31m"}',
    "raw 0x01": '{"qty":1,"x":"\x01"}',
    "raw 0x1f": '{"qty":1,"x":"\x1f"}',
    "raw newline in a name": '{"qty":1,"x\n":1}',
    "vertical tab between": '{"qty":\v1}',
    "form feed between": '{"qty":\f1}',
    "0x01 between": '{\x01"qty":1}',
    "0x1f after": '{"qty":1}\x1f',
    "no-break space between": '{"qty":\u00a01}',
    "NUL first": '\0{"qty":1}',
    "NUL last": '{"qty":1}\0',
    "NUL then more": '{"qty":1}\0{"qty":2}',
    "NUL between": '{"qty"\0:1}',
    "NUL in a string": '{"qty":1,"x":"a\0b"}',
    "NUL in the name": '{"qty\0":1}',
    "only NUL": "\0",
    "0xff": b'{"qty":1,"x":"\xff"}',
    "latin-1": b'{"qty":1,"x":"caf\xe9"}',
    "continuation alone": b'{"qty":1,"x":"\x80"}',
    "cut sequence": b'{"qty":1,"x":"\xe2\x82"}',
    "cut by the end": b'{"qty":1,"x":"\xe2',
    "overlong slash": b'{"qty":1,"x":"\xc0\xaf"}',
    "overlong NUL": b'{"qty":1,"x":"\xc0\x80"}',
    "overlong of three": b'{"qty":1,"x":"\xe0\x80\xaf"}',
    "overlong of four": b'{"qty":1,"x":"\xf0\x80\x80\xaf"}',
    "surrogate in UTF-8": b'{"qty":1,"x":"\xed\xa0\x80"}',
    "beyond U+10FFFF": b'{"qty":1,"x":"\xf4\x90\x80\x80"}',
    "0xf8": b'{"qty":1,"x":"\xf8\x88\x80\x80\x80"}',
    "invalid in a name": b'{"qty":1,"\xff":1}',
    "invalid outside": b'{"qty":1}\xff',
    "UTF-16": '{"qty":1}'.encode("utf-16-le"),
    "UTF-16 with mark": '{"qty":1}'.encode("utf-16"),
}


# Whatever is not strictly JSON is 400 malformed_json and sells nothing: no guess about what was meant.
@pytest.mark.parametrize("body", list(NOT_JSON.values()), ids=list(NOT_JSON))
def test_malformed(server, unsold, body):
    assert_problem(server.ask("POST", RESERVE, text(body)), 400, "malformed_json")


# A POST without any body at all is no JSON either.
@pytest.mark.parametrize("path", [RESERVE, PURCHASE])
def test_no_body(server, unsold, path):
    assert_problem(server.ask("POST", path), 400, "malformed_json")


# Depth is bounded: however deep, the worker lives, and the connection goes on.
@pytest.mark.parametrize("opening, closing", [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [50, 500, 999, 1001, 2600])
def test_depth(server, unsold, depth, opening, closing):
    with server.connect() as client:
        nested = opening * depth + "1" + closing * depth
        assert client.ask("POST", RESERVE, text(nested)).status in (400, 422)
        assert client.ask("POST", RESERVE, text('{"qty":0,"x":%s}' % nested)).status in (400, 422)
        assert client.ask("POST", RESERVE, text(opening * 3000)).status == 400
        assert client.ask("GET", "/health").status == 200


# A body of very many members is answered quickly: no check is quadratic in a way that hurts.
def test_many_members(server, unsold):
    members = ",".join('"%x":0' % n for n in range(1700))
    body = ('{"qty":0,%s}' % members).encode()
    assert len(body) < 16384
    with server.connect() as client:
        client.sock.settimeout(5)
        for _ in range(5):
            assert client.ask("POST", RESERVE, body).status in (400, 422)
