"""An EventSource for the tests: reads event streams strictly, and comes back as browsers do."""

import json
import re
import time

from harness import AVAILABLE, DEADLINE_S, BadAnswer, Client, request_bytes

STREAM = AVAILABLE + "/stream"


class Ended(Exception):
    """The stream has ended in order: with its last chunk, and the connection with it."""


class Event:
    def __init__(self, number, data):
        self.id, self.data = number, data
        self.came = time.monotonic()

    @property
    def qty(self):
        return json.loads(self.data)["qty"]

    def __repr__(self):
        return f"<event {self.id} {self.data}>"


class Stream(Client):
    """One connection with one stream.  `last_id`: what the client has already."""

    def __init__(self, server, path=STREAM, last_id=None, headers=(), version="HTTP/1.1"):
        super().__init__(server.address_for(path))
        headers = list(headers)
        if last_id is not None:
            headers.append(("Last-Event-ID", last_id))
        self.send(request_bytes("GET", path, headers=headers, version=version))
        self.head = self._head()
        self.chunked = "chunked" in self.head.tokens("Transfer-Encoding")
        self.text = b""
        self.retry_ms = None
        self.comments = 0

    def _body(self, answer):
        """The body of a stream is read event by event, not here; that of a refusal is."""
        return b"" if answer["Content-Type"] == "text/event-stream" else super()._body(answer)

    def _head(self):
        try:
            return self.answer()
        except BaseException:
            self.close()
            raise

    def _chunk(self):
        if not self.chunked:
            if not self.data and not self._more():
                raise Ended
            return self._take(len(self.data))
        size = int(self._line(), 16)
        data = self._take(size)
        assert self._take(2) == b"\r\n", "a chunk is not ended by CR LF"
        if size == 0:
            assert self.rest() == b"", "something follows the end"
            raise Ended
        return data

    def block(self):
        """What stands before the next empty line."""
        while b"\n\n" not in self.text:
            self.text += self._chunk()
        block, _, self.text = self.text.partition(b"\n\n")
        return block.decode()

    def event(self):
        """The next event; notes what else comes."""
        while True:
            block = self.block()
            if block == ":":
                self.comments += 1
            elif match := re.fullmatch(r"retry: (\d+)", block):
                assert self.retry_ms is None, "retry came twice"
                self.retry_ms = int(match[1])
            elif match := re.fullmatch(r"id: (\d+)\ndata: (.*)", block):
                return Event(int(match[1]), match[2])
            else:
                raise BadAnswer(f"no event: {block!r}")

    def until(self, wanted, deadline_s=DEADLINE_S):
        """Events up to the first of which `wanted` holds."""
        end, found = time.monotonic() + deadline_s, []
        while True:
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            found.append(self.event())
            if wanted(found[-1]):
                self.sock.settimeout(DEADLINE_S)
                return found


class Source:
    """Comes back, with the id of the last event, whenever a stream ends."""

    def __init__(self, server, path=STREAM):
        self.server, self.path = server, path
        self.events = []
        self.ends = 0      # in order
        self.breaks = 0    # not so
        self.refused = 0
        self.stream = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.stream is not None:
            self.stream.close()

    def _open(self):
        last = self.events[-1].id if self.events else None
        try:
            self.stream = Stream(self.server, self.path, last)
        except OSError:
            self.refused += 1
            time.sleep(0.01)

    def _next(self):
        try:
            self.events.append(self.stream.event())
            return
        except Ended:
            self.ends += 1
        except (BadAnswer, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            self.breaks += 1
        self.stream.close()
        self.stream = None

    def until(self, wanted, deadline_s=DEADLINE_S):
        """Reads on, over any number of streams, until `wanted(self)`."""
        end = time.monotonic() + deadline_s
        while not wanted(self):
            assert time.monotonic() < end, f"not within {deadline_s} s; so far {self.events[-5:]}"
            if self.stream is None:
                self._open()
                continue
            self.stream.sock.settimeout(max(0.01, end - time.monotonic()))
            self._next()

    def check(self):
        """Nothing came twice, and nothing went back."""
        ids = [event.id for event in self.events]
        assert ids == sorted(set(ids)), ids
