"""One HTTP/1.1 connection, as plain as the protocol allows: for fixed counts and odd clients."""

import dataclasses
import socket
import time

from .procs import BenchError

TIMEOUT_S = 30


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: str = ""
    key: str = ""  # Idempotency-Key

    def bytes(self):
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        if self.body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        if self.key:
            head += f'Idempotency-Key: "{self.key}"\r\n'
        return (head + "\r\n" + self.body).encode()


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    head: bytes
    body: bytes


class Connection:
    def __init__(self, port, source=None, timeout_s=TIMEOUT_S):
        where = (source, 0) if source else None
        self.sock = socket.create_connection(("127.0.0.1", port), timeout_s, where)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = b""

    def __enter__(self):
        return self

    def __exit__(self, *_reason):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, request):
        self.sock.sendall(request.bytes())

    def _read_more(self):
        piece = self.sock.recv(65536)
        if not piece:
            raise ConnectionError("the server closed the connection before its answer was whole")
        self.input += piece

    def receive(self):
        """The next answer; it must carry Content-Length, as every answer measured here does."""
        while (end := self.input.find(b"\r\n\r\n")) < 0:
            self._read_more()
        head = self.input[: end + 4]
        size = None
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                size = int(value)
        if size is None:
            raise BenchError("an answer without Content-Length:\n" + head.decode(errors="replace"))
        while len(self.input) < len(head) + size:
            self._read_more()
        body = self.input[len(head) : len(head) + size]
        self.input = self.input[len(head) + size :]
        return Answer(int(head.split(b" ", 2)[1]), head, body)

    def exchange(self, request):
        self.send(request)
        return self.receive()


def wait_until_ready(started, port, path, timeout_s):
    """Asks until the server answers 200; a BenchError when it ends first or takes too long."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if started.exited():
            raise BenchError(f"{started.commands[0][0]} ended before it was ready")
        try:
            with Connection(port, timeout_s=timeout_s) as connection:
                if connection.exchange(Request("GET", path)).status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise BenchError(f"{started.commands[0][0]} was not ready within {timeout_s} s")
