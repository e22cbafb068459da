"""SIGTERM and SIGINT: what is in hand is answered, then the server is gone, in time."""

import ctypes
import errno
import os
import select
import signal
import socket
import struct
import time

import pytest

from harness import (AVAILABLE, DEADLINE_S, RESERVE, SELL_PATHS, SLACK_S, Client, Load, alone, eventually,
                     request_bytes)
from surroundings import preload

STOCK = 1000000


def stopped_within(server, seconds, number=signal.SIGTERM):
    """Signals, waits for exit code 0, and holds the time against a limit."""
    start = time.monotonic()
    server.send_signal(number)
    code = server.wait_exit()
    took = time.monotonic() - start
    assert code == 0, server.log_text()
    assert took <= seconds + SLACK_S, f"took {took:.2f} s"
    server.assert_gone(deadline_s=1)
    return took


# Both signals end it properly.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(start, number):
    server = start(WORKERS=3)
    assert server.ask("POST", RESERVE, {"qty": 1}).status == 200
    stopped_within(server, 1, number)


# Ctrl-C reaches the whole group at once, workers as well: no worker takes it for a crash.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_the_group(start, number):
    server = start(WORKERS=3)
    data = request_bytes("POST", RESERVE, {"qty": 1})
    with server.connect() as client:
        client.send(data[:-2])
        # answered on the other half, so the worker has it in hand
        assert client.silent(0.1)
        os.killpg(server.master_pid, number)
        eventually(lambda: not _accepts(server.vacancy_address), "the listener is closed")
        client.send(data[-2:])
        assert client.answer().json()["success"] is True
    assert server.wait_exit() == 0
    assert not [e for e in server.log if e["level"] == "WARNING"], server.log_text()
    server.assert_gone()


# Under load every request that was let in is answered; the last answer on a connection says that it
# is the last; nothing is sold that nobody was told of.
@pytest.mark.parametrize("path", SELL_PATHS)
def test_stop_under_load(start, path):
    server = start(WORKERS=2, INITIAL_STOCK=STOCK, SHUTDOWN_TIMEOUT=5)
    with Load(server, connections=12, path=path) as load:
        load.wait_answers(300)
        stopped_within(server, 5)
        load.join()
    assert not load.wrong, load.wrong[:3]
    assert not load.unanswered, load.unanswered[:3]
    # A connection ends by an answer with `Connection: close`; the next one is then refused.
    assert load.last_closed >= 12, (load.last_closed, load.failures)
    assert len(load.remaining) == len(set(load.remaining)) == load.sold
    assert min(load.remaining) == STOCK - load.sold, "a ticket was sold and nobody was told"


# A stopping server lets nobody in.
def test_new_connections_are_refused(start):
    server = start(WORKERS=2, SHUTDOWN_TIMEOUT=20)
    address = server.vacancy_address
    data = request_bytes("POST", RESERVE, {"qty": 1})
    held = server.connect()
    held.send(data[:-1])
    server.send_signal(signal.SIGTERM)

    def refused():
        try:
            Client(address).close()
            return False
        except ConnectionRefusedError:
            return True

    eventually(refused, "new connections are refused while one request is in hand", deadline_s=5)
    held.send(data[-1:])
    answer = held.answer()
    assert answer.json()["success"] is True
    assert answer.closes
    assert held.rest() == b""
    assert server.wait_exit() == 0


# A request that was begun is answered, whatever part of it had come.
@pytest.mark.parametrize("cut", [20, -9, -1], ids=["head", "before the body", "body"])
def test_begun_request_is_answered(start, cut):
    server = start(WORKERS=1, SHUTDOWN_TIMEOUT=10)
    data = request_bytes("POST", RESERVE, {"qty": 1})
    with server.connect() as client, server.connect() as other:
        assert other.ask("GET", AVAILABLE).status == 200
        assert client.ask("GET", AVAILABLE).status == 200
        client.send(data[:cut])
        assert client.silent(0.1)
        server.send_signal(signal.SIGTERM)
        # the idle connection's end shows that the worker has begun to stop
        assert other.rest() == b""
        client.send(data[cut:])
        answer = client.answer()
        assert answer.json()["success"] is True
        assert answer.closes
    assert server.wait_exit() == 0


# An idle connection is left open for one more request ...
def test_idle_connection_may_ask_once_more(start):
    server = start(WORKERS=1, DRAIN_IDLE_TIMEOUT=5, SHUTDOWN_TIMEOUT=10)
    with server.connect() as client:
        assert client.ask("GET", AVAILABLE).status == 200
        server.send_signal(signal.SIGTERM)
        eventually(lambda: not _accepts(server.vacancy_address), "the listener is closed")
        answer = client.ask("POST", RESERVE, {"qty": 1})
        assert answer.json()["success"] is True
        assert answer.closes
        assert client.rest() == b""
    assert server.wait_exit() == 0


def _accepts(address):
    try:
        Client(address).close()
        return True
    except OSError:
        return False


# ... for DRAIN_IDLE_TIMEOUT, and holds up nothing longer.
@pytest.mark.parametrize("idle_s", [0, 1, 2])
def test_idle_connections_are_closed(start, idle_s):
    server = start(WORKERS=2, DRAIN_IDLE_TIMEOUT=idle_s, SHUTDOWN_TIMEOUT=20)
    idle = [server.connect() for _ in range(5)]
    for client in idle:
        assert client.ask("GET", AVAILABLE).status == 200
    never_asked = server.connect()
    took = stopped_within(server, idle_s + 1)
    assert took >= idle_s - 0.3
    for client in idle + [never_asked]:
        assert client.rest() == b""
        client.close()


# An upload that never ends is cut off at SHUTDOWN_TIMEOUT.
@pytest.mark.parametrize("cut", [20, -2], ids=["head", "body"])
def test_endless_upload(start, cut):
    server = start(WORKERS=2, SHUTDOWN_TIMEOUT=1.5, REQUEST_TIMEOUT=600, DRAIN_IDLE_TIMEOUT=0)
    with server.connect() as client:
        client.send(request_bytes("POST", RESERVE, {"qty": 1})[:cut])
        assert client.silent(0.1)
        took = stopped_within(server, 1.5)
        assert took >= 1.0, "an upload in hand deserves its time"
        assert client.rest() == b""


# So is a client that never reads its answers.
def test_client_that_never_reads(start):
    server = start(WORKERS=1, SHUTDOWN_TIMEOUT=1)
    with Client(server.vacancy_address, receive_buffer=4096) as client:
        client.sock.setblocking(False)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                client.sock.send(request_bytes("GET", "/") * 50)
            except BlockingIOError:
                time.sleep(0.02)
        stopped_within(server, 1)


# A worker that is stuck (stopped) at the deadline is killed, and the exit still comes in time.
def test_stuck_worker(start):
    server = start(WORKERS=2, SHUTDOWN_TIMEOUT=1)
    victim = sorted(server.workers())[0]
    os.kill(victim, signal.SIGSTOP)
    start_s = time.monotonic()
    server.send_signal(signal.SIGTERM)
    server.wait_exit()
    assert time.monotonic() - start_s <= 3 + SLACK_S
    server.assert_gone(deadline_s=1)


# A second signal does no harm.
def test_signal_twice(start):
    server = start(WORKERS=2)
    with Load(server, connections=4) as load:
        load.wait_answers(50)
        server.send_signal(signal.SIGTERM)
        try:
            for _ in range(5):
                server.send_signal(signal.SIGTERM)
        except ProcessLookupError:
            pass
        assert server.wait_exit() == 0
        load.join()
    assert not load.wrong
    server.assert_gone(deadline_s=DEADLINE_S)


# ---------------------------------------------------------------- who connects at the last moment

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
TCP_SYN_RECV, TCP_LISTEN = "03", "0A"


class Knock(Client):
    """A connection that is under way: its SYN is sent, and nobody has waited for what comes of it."""

    def __init__(self, address, deaf=False):
        self.address, self.data = address, b""
        self.sock = socket.socket(address.family, socket.SOCK_STREAM)
        if deaf:
            self._filter(SO_ATTACH_FILTER)
        self.sock.setblocking(False)
        self.sock.connect_ex(address.target)

    def _filter(self, option):
        """With one nothing that arrives is seen: a classic BPF program that returns 0."""
        program = (ctypes.c_uint16 * 4)(0x06)  # one instruction: code, jumps, and four bytes of 0
        self.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("HP", 1, ctypes.addressof(program)))

    def hear(self):
        self._filter(SO_DETACH_FILTER)

    def wait(self):
        """True when the server has let it in, False when it has refused."""
        assert select.select([], [self.sock], [], DEADLINE_S)[1], "neither let in nor refused"
        self.sock.settimeout(DEADLINE_S)
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        assert error in (0, errno.ECONNREFUSED), os.strerror(error)
        return error == 0


# Whoever connects after a worker has last looked, and before the address is closed, is not let in to
# be reset then: he is refused, when his kernel tries again.
def test_no_connection_is_reset(start, tmp_path):
    hangs, reached = tmp_path / "hangs", tmp_path / "reached"
    shim = preload(tmp_path, "close", TEST_CLOSE_HANGS=hangs, TEST_CLOSE_REACHED=reached)
    server = alone(start)(WORKERS=1, **shim)
    hangs.touch()
    server.send_signal(signal.SIGTERM)
    eventually(reached.exists, "the worker is about to close the last copy of the listener")
    clients = [Knock(server.vacancy_address) for _ in range(5)]
    hangs.unlink()
    for client in clients:
        if client.wait():
            assert client.ask("POST", RESERVE, {"qty": 1}).status == 200
        client.close()
    assert server.wait_exit() == 0


def _tcp_states(port):
    """(state, inode) of every IPv4 socket of this machine that is bound to a port."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return [(row[3], row[9]) for row in rows if int(row[1].rpartition(":")[2], 16) == port]


def _has_socket(pid, inode):
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass  # closed meanwhile
    return f"socket:[{inode}]" in links


# A handshake that the stop finds under way can end, and what is asked then is answered.  The client
# hears the server's half of it only when the master has closed its listener; the worker, stopped,
# looks only when the client is in.
def test_begun_handshake_can_end(start):
    server = alone(start)(WORKERS=1, SHUTDOWN_TIMEOUT=30)
    address = server.vacancy_address
    (listener,) = [inode for state, inode in _tcp_states(address.port) if state == TCP_LISTEN]
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    client = Knock(address, deaf=True)
    eventually(lambda: TCP_SYN_RECV in [state for state, _ in _tcp_states(address.port)], "a handshake is under way")
    server.send_signal(signal.SIGTERM)
    eventually(lambda: not _has_socket(server.master_pid, listener), "the master has closed its listener")
    client.hear()
    assert client.wait()
    client.send(request_bytes("POST", RESERVE, {"qty": 1}))
    os.kill(worker, signal.SIGCONT)
    answer = client.answer()
    assert answer.json()["success"] is True
    assert answer.closes
    client.close()
    assert server.wait_exit() == 0
