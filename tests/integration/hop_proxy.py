"""A proxy between the two pools that does harm on purpose, to one exchange at a time.

VACANCY_URL names it (`HopProxy.url`); `target` is where the vacancy pool really listens.  It knows
just enough of HTTP/1.1 to find the end of a request and of an answer, notes every request, and
counts connections.  What happens to an exchange is its *fault*, a function of this module's kind:

    def fault(link, request):      # returns True when the connection may go on

`passes` is none.  `HopProxy.next_faults` lists the faults of the exchanges to come, one each; then
`HopProxy.fault` is every further one's.  Both are for batches only, so that no probe of /ready uses
up what was meant for a sale; `HopProxy.fault_of_all` is for everything.

Threads: one that accepts, one for each connection.
"""

import contextlib
import os
import re
import select
import socket
import struct
import threading
import time

from harness import DEADLINE_S, eventually

BATCH = "/api/v1/reserve/batch"


class Gone(Exception):
    """The other side of a connection has closed it."""


class Message:
    """A request or an answer: the head with its empty line, and the body of its Content-Length."""

    def __init__(self, head, body):
        self.head, self.body = head, body

    @property
    def bytes(self):
        return self.head + self.body

    @property
    def start(self):
        return self.head.partition(b"\r\n")[0].decode("latin-1")

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def path(self):
        return self.start.split(" ")[1]

    def header(self, name):
        found = re.findall(rb"(?im)^" + name.encode() + rb":[ \t]*(.*?)[ \t]*\r$", self.head)
        return found[0].decode("latin-1") if found else None

    @property
    def closes(self):
        return (self.header("Connection") or "").lower() == "close"

    def with_length(self, length):
        return Message(re.sub(rb"(?im)^(content-length:).*\r$", rb"\1 %d\r" % length, self.head), self.body)


class _Stream:
    """One side of a link: a socket, and what was read of it beyond the last message."""

    def __init__(self, sock):
        self.sock, self.rest = sock, b""

    def message(self, watched=None):
        """The next message; None when the peer closed before its first byte; Gone when `watched`,
        the other side's socket, is closed meanwhile."""
        while b"\r\n\r\n" not in self.rest:
            if not self._more(watched):
                if self.rest:
                    raise Gone
                return None
        end = self.rest.index(b"\r\n\r\n") + 4
        found = Message(self.rest[:end], b"")
        size = end + int(found.header("Content-Length") or 0)
        while len(self.rest) < size:
            if not self._more(watched):
                raise Gone
        found.body, self.rest = self.rest[end:size], self.rest[size:]
        return found

    def _more(self, watched):
        while watched is not None:
            readable = select.select([self.sock, watched], [], [])[0]
            if watched in readable and _is_closed(watched):
                raise Gone
            if self.sock in readable:
                break
        try:
            chunk = self.sock.recv(65536)
        except OSError:
            return False
        self.rest += chunk
        return bool(chunk)


def _is_closed(sock):
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


class Link:
    """One connection of the ticket pool to the proxy, and the one that belongs to it behind it."""

    def __init__(self, proxy, sock):
        self.proxy = proxy
        self.front = _Stream(sock)
        self.back = None
        self.busy = False
        self.last = False

    def close(self):
        for side in (self.front, self.back):
            if side is not None:
                with contextlib.suppress(OSError):
                    side.sock.shutdown(socket.SHUT_RDWR)

    # -- what faults are made of

    def forward(self, data):
        """Sends bytes of a request to the vacancy pool."""
        if self.back is None:
            if self.proxy.target is None:
                raise Gone
            self.back = _Stream(self.proxy.target.connect(DEADLINE_S))
        self.back.sock.sendall(data)

    def fetch(self):
        """The vacancy pool's whole answer."""
        answer = self.back.message(watched=self.front.sock)
        if answer is None:
            raise Gone
        return answer

    def reply(self, data):
        """Sends bytes of an answer to the ticket pool."""
        # Its end is counted before the ticket pool can know of it, and open another.
        if self.last:
            self.proxy.gone(self)
        self.front.sock.sendall(data)

    def reset(self):
        """What comes next is a reset, not a proper end."""
        self.front.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def wait_gone(self):
        """Silence, until the ticket pool has had enough of it."""
        while not _is_closed(self.front.sock):
            select.select([self.front.sock], [], [], 0.05)


# ---------------------------------------------------------------- faults


def passes(link, request):
    link.forward(request.bytes)
    answer = link.fetch()
    link.reply(answer.bytes)
    return not (request.closes or answer.closes)


def closes_at_once(_link, _request):
    """The request is read and goes nowhere."""
    return False


def resets_at_once(link, _request):
    link.reset()
    return False


def swallows_request(link, _request):
    link.wait_gone()
    return False


def cuts_request(share=0.5):
    """Only a part of the request reaches the vacancy pool before both connections end."""
    def fault(link, request):
        link.forward(request.bytes[:int(len(request.bytes) * share)])
        return False
    return fault


def swallows_answer(link, request):
    link.forward(request.bytes)
    link.fetch()
    link.wait_gone()
    return False


def cuts_answer(share=0.5, reset=False):
    """It was carried out, and of the answer a part arrives: share 0 is nothing of it."""
    def fault(link, request):
        link.forward(request.bytes)
        answer = link.fetch()
        link.reply(answer.bytes[:int(len(answer.bytes) * share)])
        if reset:
            link.reset()
        return False
    return fault


def cuts_body(link, request):
    """The whole head and half of the body."""
    link.forward(request.bytes)
    answer = link.fetch()
    link.reply(answer.head + answer.body[:len(answer.body) // 2])
    return False


def stalls_in_answer(link, request):
    """Half of the answer, and then silence."""
    link.forward(request.bytes)
    answer = link.fetch()
    link.reply(answer.bytes[:len(answer.bytes) // 2])
    link.wait_gone()
    return False


def wrong_length(difference):
    """The answer announces another length than its body has; it is not closed for that."""
    def fault(link, request):
        link.forward(request.bytes)
        answer = link.fetch()
        link.reply(answer.with_length(len(answer.body) + difference).bytes)
        link.wait_gone()
        return False
    return fault


def answers(data):
    """The vacancy pool has carried it out, and something else comes back."""
    def fault(link, request):
        link.forward(request.bytes)
        link.fetch()
        link.reply(data)
        return False
    return fault


def answers_instead(data):
    """The vacancy pool never hears of it, and something comes back."""
    def fault(link, _request):
        link.reply(data)
        return False
    return fault


def json_answer(body, status="200 OK", content_type="application/json"):
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def delays(seconds):
    """The answer comes late, or not at all to a ticket pool that gave up."""
    def fault(link, request):
        link.forward(request.bytes)
        answer = link.fetch()
        if select.select([link.front.sock], [], [], seconds)[0]:
            return False
        link.reply(answer.bytes)
        return not answer.closes
    return fault


def held(gate):
    """The request goes on when the gate (a threading.Event) opens, if the ticket pool still waits."""
    def fault(link, request):
        while not gate.wait(0.01):
            if select.select([link.front.sock], [], [], 0)[0]:
                return False
        return passes(link, request)
    return fault


def trickles(link, request):
    """Whole and right, byte by byte."""
    for one in request.bytes:
        link.forward(bytes([one]))
    answer = link.fetch()
    for one in answer.bytes:
        link.reply(bytes([one]))
    return not answer.closes


def closes_after(link, request):
    """A good answer; the connection, which was to be kept, is closed."""
    passes(link, request)
    return False


def resets_after(link, request):
    passes(link, request)
    link.reset()
    return False


HARMFUL = [
    closes_at_once, resets_at_once, cuts_request(0.1), cuts_request(0.5), cuts_request(0.99), cuts_answer(0),
    cuts_answer(0.1), cuts_answer(0.7), cuts_answer(0, reset=True), cuts_body, wrong_length(5), wrong_length(-5),
    answers(b"\x16\x03\x01 no HTTP\r\n\r\n"), answers(b"HTTP/1.1 200 OK\r\n\r\n"), answers(json_answer("{}")),
    answers(json_answer('{"results":[]}')), answers(json_answer("oops", "500 Internal Server Error")),
    closes_after, resets_after, trickles, delays(0.02),
]


class AtRandom:
    """The fault of an exchange is now and then one of `faults`; `met` counts these."""

    def __init__(self, rng, share, faults=tuple(HARMFUL)):
        self.rng, self.share, self.faults = rng, share, faults
        self.met = 0
        self._lock = threading.Lock()

    def __call__(self, link, request):
        with self._lock:
            harmful = self.rng.random() < self.share
            chosen = self.rng.choice(self.faults) if harmful else passes
            self.met += harmful
        return chosen(link, request)


# ---------------------------------------------------------------- the proxy


class HopProxy:
    """Listens from the beginning, so that a VACANCY_URL can name it before there is a vacancy pool.

    listen     "127.0.0.1", "::1" or "unix:/path"
    base       a path that the URL has at its end, and that is taken away again
    requests   every request, in order: (time, Message)
    open_most  the most connections there were at a time; `open` and `idle` are now's
    accepted   connections so far"""

    def __init__(self, listen="127.0.0.1", base=""):
        self.base = base
        self.target = None
        self.fault = self.fault_of_all = passes
        self.next_faults = []
        self.requests = []
        self.accepted = self.open_most = 0
        self._links = set()
        self._lock = threading.Lock()
        self._unix = listen[len("unix:"):] if listen.startswith("unix:") else None
        self._host, self._port = listen, 0
        self._listen()

    @property
    def url(self):
        if self._unix:
            return f"unix:{self._unix}"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{self.base}"

    @property
    def port(self):
        return self._port

    def _listen(self):
        if self._unix:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._unix)
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self._unix)
        else:
            self._listener = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((self._host, self._port))
            self._port = self._listener.getsockname()[1]
        self._listener.listen(1024)
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if listener.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, sock)
            with self._lock:
                self.accepted += 1
                self._links.add(link)
                self.open_most = max(self.open_most, len(self._links))
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        try:
            while self._exchange(link):
                link.busy = False
        except (OSError, Gone):
            pass
        finally:
            self.gone(link)
            link.front.sock.close()
            if link.back is not None:
                link.back.sock.close()

    def _exchange(self, link):
        # What the vacancy pool closes while it is idle is closed in front too.
        request = link.front.message(watched=link.back.sock if link.back else None)
        if request is None:
            return False
        if self.base:
            request.head = request.head.replace(f" {self.base}/".encode(), b" /", 1)
        with self._lock:
            link.busy, link.last = True, request.closes
            self.requests.append((time.monotonic(), request))
            fault = self.fault_of_all
            if fault is passes and request.path == BATCH:
                fault = self.next_faults.pop(0) if self.next_faults else self.fault
        return fault(link, request)

    def gone(self, link):
        with self._lock:
            self._links.discard(link)

    # -- what tests ask and do

    @property
    def batches(self):
        """The requests that carried purchases."""
        return [request for _, request in self.requests if request.path == BATCH]

    @property
    def open(self):
        return len(self._links)

    @property
    def idle(self):
        with self._lock:
            return sum(not link.busy for link in self._links)

    def drop(self):
        """Ends every connection there is."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.close()
        eventually(lambda: not self._links & set(links), "the connections are gone")

    def refuse(self):
        """From now on nobody listens here, and every connection there was is gone."""
        # What blocks in accept is woken only by this.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(DEADLINE_S)
        self._listener.close()
        self.drop()

    def listen_again(self):
        self._listen()
