"""Whether everybody answers the same: the same fields at the head, the same members in the body, as
many bytes.  Who sends less would be compared unfairly."""

import json

# {field: why it may be there or not}; its line is not counted either.
FREE = {"server": "nginx names itself, and has no setting against it"}
# What else may differ: the ETag's count of sales has as many digits as it needs.
BYTES_APART = 4


def fields(answer):
    """{field's name in small letters: its value}."""
    lines = answer.head.decode("latin-1").split("\r\n")[1:]
    pairs = [line.partition(":") for line in lines if line]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def comparable_bytes(answer):
    """As many as it has on the wire, but for the lines of the fields that are free."""
    lines = answer.head.split(b"\r\n")
    free = [line for line in lines if line.partition(b":")[0].strip().lower().decode() in FREE]
    return len(answer.head) + len(answer.body) - sum(len(line) + len("\r\n") for line in free)


def differs(answer, ours):
    """How an answer is not what ticketd's is; None when it is."""
    try:
        members, wanted = (list(json.loads(each.body)) for each in (answer, ours))
    except ValueError:
        return "no JSON"
    if members != wanted:
        return f"members {', '.join(members)}"
    apart = (fields(answer).keys() ^ fields(ours).keys()) - FREE.keys()
    if apart:
        return f"fields of one alone: {', '.join(sorted(apart))}"
    sizes = [comparable_bytes(each) for each in (answer, ours)]
    if abs(sizes[0] - sizes[1]) > BYTES_APART:
        return f"{sizes[0]} bytes instead of {sizes[1]}"
    return None
