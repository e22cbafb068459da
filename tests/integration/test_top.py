"""ticketctl top and status, against a running server: in a terminal, in a pipe, over the server's restart."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

import harness
from harness import DEADLINE_S, MICROSERVICES, PURCHASE, eventually, run

# sysexits.h
EX_UNAVAILABLE, EX_TEMPFAIL, EX_PROTOCOL = 69, 75, 76
EX_NO = 1
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
SHOW_CURSOR = b"\x1b[?25h"


def ticketctl():
    path = os.environ.get("TICKETCTL")
    assert path, "set TICKETCTL to the path of the ticketctl binary"
    return os.path.abspath(path)


def ctl(server, *arguments):
    return run(*arguments, directory=server.directory, program=ticketctl())


def _own_terminal():
    """Runs in the child: standard input becomes the terminal that sends it signals."""
    harness._die_with_the_test()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """ticketctl top in a terminal of its own."""

    def __init__(self, directory, *arguments, width=100, height=30):
        self.master, self.slave = pty.openpty()
        self.resize(width, height)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [ticketctl(), "top", *arguments], cwd=directory, stdin=self.slave, stdout=self.slave,
            stderr=subprocess.PIPE, env=harness.child_environment({"LC_ALL": "C.UTF-8"}), start_new_session=True,
            preexec_fn=_own_terminal)
        self.shown = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, width, height):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def read(self, wait_s=0.2):
        while select.select([self.master], [], [], wait_s)[0]:
            self.shown += os.read(self.master, 65536)
            wait_s = 0

    @property
    def page(self):
        """The last page that was drawn whole, as lines without styles."""
        whole = self.shown.rpartition(b"\x1b[J")[0].rpartition(b"\x1b[H")[2]
        return re.sub(r"\x1b\[[0-9;]*[mKJ]", "", whole.decode()).split("\r\n")

    def wait(self, text, deadline_s=DEADLINE_S):
        end = time.monotonic() + deadline_s
        while text not in "\n".join(self.page):
            assert time.monotonic() < end, f"no {text!r} in:\n" + "\n".join(self.page)
            assert self.process.poll() is None, (self.process.returncode, self.process.stderr.read())
            self.read()
        return self.page

    def ends(self):
        """How it ended, after it has put the terminal back as it was."""
        code = self.process.wait(DEADLINE_S)
        self.read()
        assert self.shown.count(ENTER) == self.shown.count(LEAVE) == 1
        assert self.shown.index(ENTER) < self.shown.rindex(SHOW_CURSOR) < self.shown.index(LEAVE) + len(LEAVE)
        assert termios.tcgetattr(self.slave) == self.before
        return code


# In a terminal it shows what is sold within about a second, and puts the terminal back however it is ended.
@pytest.mark.parametrize("end", ["q", "\x03", signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
                         ids=["q", "ctrl-c", "int", "term", "hup"])
def test_terminal(server, end):
    with Terminal(server.directory) as terminal:
        before = server.available()
        terminal.wait(f"{before:,} available of 1,000,000")
        server.ask("POST", PURCHASE, {"qty": 3})
        page = terminal.wait(f"{before - 3:,} available of 1,000,000")
        assert any(line.startswith("Latency ") for line in page)
        assert termios.tcgetattr(terminal.slave)[3] & termios.ECHO == 0
        if isinstance(end, str):
            os.write(terminal.master, end.encode())
        else:
            terminal.process.send_signal(end)
        assert terminal.ends() == 0


# It fits a terminal of any size, and follows it.
def test_sizes(server):
    with Terminal(server.directory, width=40, height=10) as terminal:
        page = terminal.wait("Sales ")
        assert len(page) <= 10 and max(map(len, page)) <= 40
        terminal.resize(120, 40)
        terminal.process.send_signal(signal.SIGWINCH)
        page = terminal.wait("POOL")
        assert 10 < len(page) <= 40 and max(map(len, page)) <= 120


# A server that stops is missed at once, and one that comes back is shown, by the same process.
def test_restart(start):
    server = start(INITIAL_STOCK=50)
    with Terminal(server.directory) as terminal:
        terminal.wait("50 available of 50")
        server.send_signal(signal.SIGHUP)
        harness.stays(lambda: terminal.read() or "trying again" not in "\n".join(terminal.page),
                      "a reload is not noticed", 2)
        server.send_signal(signal.SIGTERM)
        server.wait_exit()
        terminal.wait("trying again")
        again = start(CONTROL_SOCKET=server.directory / "var" / "ledger.db.control", INITIAL_STOCK=70)
        page = terminal.wait("70 available of 70")
        assert "trying again" not in "\n".join(page)
        again.stop()
        terminal.wait("trying again")
        os.write(terminal.master, b"q")
        assert terminal.ends() == 0


# Without a server the terminal is left as it is, and one line says why.
def test_terminal_without_server(tmp_path):
    (tmp_path / ".env").write_text(f"LEDGER_URL=sqlite:{tmp_path}/no.db\n")
    with Terminal(tmp_path) as terminal:
        assert terminal.process.wait(DEADLINE_S) == EX_UNAVAILABLE
        terminal.read()
        assert terminal.shown == b""
        assert terminal.process.stderr.read().startswith(b"ticketctl: no server answers at ")


# In a pipe it is one line a second; with --json what the server tells, one object a line.
@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["text", "json"])
def test_pipe(server, arguments):
    process = subprocess.Popen([ticketctl(), "top", *arguments], cwd=server.directory, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=harness.child_environment({}), preexec_fn=harness._die_with_the_test)
    try:
        lines = [process.stdout.readline() for _ in range(2)]
    finally:
        process.send_signal(signal.SIGTERM)
        rest, complaints = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0 and complaints == ""
    for line in lines:
        assert "\x1b" not in line and line.endswith("\n")
        if arguments:
            told = json.loads(line)
            assert told["stock"]["available"] == server.available() and told["rate"]["sales"] == 0
        else:
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line)
            fields = dict(field.split("=") for field in line.split()[1:])
            assert int(fields["available"]) == server.available() and float(fields["sales/s"]) == 0


# --once shows it once, with rates; without a server it says so in one line and ends.
def test_once(server, tmp_path):
    shown = ctl(server, "top", "--once")
    assert shown.returncode == 0 and shown.stderr == ""
    assert f"{server.available():,} available of" in shown.stdout and "\x1b" not in shown.stdout
    told = json.loads(ctl(server, "top", "--once", "--json").stdout)
    assert told["interval"] > 0
    missing = run("top", directory=tmp_path, program=ticketctl(), settings={"LEDGER_URL": f"sqlite:{tmp_path}/no.db"})
    assert missing.returncode == EX_UNAVAILABLE and missing.stdout == ""
    assert missing.stderr.startswith("ticketctl: no server answers at ") and missing.stderr.count("\n") == 1


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


# Whoever comes as another one leaves is told rates of a time that is long enough to have some.
def test_once_after_another(start):
    server = start(WORKERS=1)
    intervals = [json.loads(ctl(server, "top", "--once", "--json").stdout)["interval"] for _ in range(4)]
    assert all(0.5 <= interval for interval in intervals), intervals


# Of a server that is none of ours, or has nothing to tell, it says so in one line and ends.
@pytest.mark.parametrize("answer, status, line", [
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n", EX_NO, "tells nothing: status 404"),
    (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", EX_TEMPFAIL, "tells nothing: status 503"),
    (STREAM_HEAD + b"data: {}\n\n", EX_PROTOCOL, "was not understood"),
    (STREAM_HEAD + b"data: " + 70000 * b"x", EX_PROTOCOL, "is too long"),
    (STREAM_HEAD, EX_PROTOCOL, "the stream ended"),
    (STREAM_HEAD + b": nothing\n\n", EX_TEMPFAIL, "did not answer within 0.300 s"),
    (b"", EX_PROTOCOL, "no answer from"),
], ids=["404", "503", "not-ours", "endless", "ended", "silent", "no-http"])
def test_strange_servers(tmp_path, answer, status, line):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                if line.startswith("did not answer"):
                    connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        result = run("top", "--timeout", "0.3", "--control-socket", path, directory=tmp_path, program=ticketctl())
        thread.join(DEADLINE_S)
    assert (result.returncode, result.stdout) == (status, "")
    assert line in result.stderr and result.stderr.count("\n") == 1


# Status tells what an operator asks first: whether it can sell, what is left, and who runs.
def test_status(server):
    status = json.loads(ctl(server, "status", "--json").stdout)
    assert status["ready"] is True and status["stock"]["available"] == server.available()
    assert [pool["serving"] for pool in status["workers"]] == [2] * len(harness.POOLS)
    text = ctl(server, "status").stdout
    assert re.search(r"^ready +yes$", text, re.M) and re.search(r"^workers +\w+: 2 serving", text, re.M)


# A ticket pool alone has no stock, and says so and how its way to the vacancy pool fares.
@pytest.mark.skipif(not MICROSERVICES, reason="only the two pools have one")
def test_ticket_pool(start):
    vacancy = start(SERVICES="vacancy")
    ticket = start(SERVICES="ticket", VACANCY_URL=vacancy.vacancy_url)
    shown = run("top", "--once", directory=ticket.directory, program=ticketctl(), settings={"SERVICES": "ticket"})
    assert shown.returncode == 0, shown.stderr
    assert "none in this pool" in shown.stdout and "breaker closed" in shown.stdout
    assert ticket.ask("POST", PURCHASE, {"qty": 2}).status == 200

    def counted():
        told = json.loads(run("top", "--once", "--json", directory=ticket.directory, program=ticketctl(),
                              settings={"SERVICES": "ticket"}).stdout)
        return told["total"]["sales"] == 1 and "stock" not in told
    eventually(counted, "its sale is counted")
