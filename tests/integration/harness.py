"""Runs the real ticketd binary for the integration tests, and speaks to it over plain sockets.

Three things live here:

* `Server`  starts one ticketd tree in a temporary directory, reads its log and ends it again.
  Ending asserts what every test wants: exit code 0, no process left, a log of nothing but JSON.
* `Client`  one connection.  It sends the very bytes that a test gives it, and parses answers
  strictly, so that a wrong Content-Length or a second answer is seen and not smoothed over.
* `Load`    threads that buy tickets until told to stop, and count what they were told.

Waiting is always for an event with a generous deadline (`eventually`), never a bare sleep.

Environment:
  TICKETD            path of the binary (required)
  TICKETD_TEST_MODE  monolith (default) or microservices: the deployment that the suites run against
  TICKETD_TEST_LONG  1 enlarges the loads
  TICKETD_TEST_SLOW  how many times slower than a plain build this one may be (sanitizers)
"""

import ctypes
import functools
import json
import os
import posixpath
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

MODE = os.environ.get("TICKETD_TEST_MODE", "monolith")
LONG = os.environ.get("TICKETD_TEST_LONG", "") == "1"
SLOW = float(os.environ.get("TICKETD_TEST_SLOW", "1"))
# For what must happen: long enough that only a fault reaches it.
DEADLINE_S = 20.0 * SLOW
# For upper bounds on times that a setting promises: what a busy machine may add.
SLACK_S = 1.5 * SLOW

AVAILABLE = "/api/v1/available"
RESERVE = "/api/v1/reserve"
PURCHASE = "/api/v1/purchase"

MICROSERVICES = MODE == "microservices"
POOLS = ("vacancy", "ticket") if MICROSERVICES else ("monolith",)
# The pool that owns the stock, and which setting names its port.
STOCK_POOL = POOLS[0]
# For the workers of a server, whichever pool they are of.
ANY_POOL = r"\w+"
STOCK_PORT = f"{STOCK_POOL.upper()}_PORT"
# How tests sell where it does not matter how: the way of the public, over the hop where there is one.
SELL_PATH = PURCHASE if MICROSERVICES else RESERVE
# One path for each way that a sale can take through the processes.
SELL_PATHS = [RESERVE, PURCHASE] if MICROSERVICES else [RESERVE]
# For tests of one pool's listeners, limits or end: the pool that owns the stock, and no other.
ALONE = {"DEPLOYMENT_MODE": MODE, **({"SERVICES": "vacancy"} if MICROSERVICES else {})}
# How much longer than a sale the hop may take, so that the pool that knows what became of it says so.
HOP_SPARE_S = 20


def alone(start):
    """The fixture `start` for servers of one pool."""
    new = functools.partial(start, **ALONE)
    new.servers = start.servers
    return new


def pool_of(path):
    """Which pool serves a path, or the target of a request in absolute form."""
    if not MICROSERVICES:
        return "monolith"
    path = posixpath.normpath(urlsplit(path).path) if "://" in path else path
    return "vacancy" if path.startswith((AVAILABLE, RESERVE)) else "ticket"


def for_this_mode(settings):
    """A test's settings in the words of the mode: its WORKERS are the workers of each pool, and the
    time of a sale is a time of the hop too."""
    settings = dict(settings)
    if not MICROSERVICES:
        return settings
    if "WORKERS" in settings:
        for pool in POOLS:
            settings.setdefault(f"{pool.upper()}_WORKERS", settings["WORKERS"])
    if settings.get("SALE_TIMEOUT") is not None:
        settings.setdefault("VACANCY_TIMEOUT", min(60, float(settings["SALE_TIMEOUT"]) + HOP_SPARE_S))
    return settings

SETTINGS_DEF = Path(__file__).resolve().parents[2] / "src" / "config" / "settings.def"

# What a test wants unless it says otherwise.  RELOAD is off so that only its own tests watch files.
DEFAULTS = for_this_mode({
    "DEPLOYMENT_MODE": MODE,
    "HOST": "127.0.0.1",
    "MONOLITH_PORT": "0",
    "TICKET_PORT": "0",
    "VACANCY_PORT": "0",
    "INITIAL_STOCK": "1000000",
    "WORKERS": "2",
    "RELOAD": "false",
    "JSON_LOGS": "true",
    # The disk of a busy machine may stand still for longer than the settings' own default of two
    # seconds, and then who waits is refused: what is about that time sets it.
    "SALE_TIMEOUT": "15",
})
# The only variables of ours that a child inherits: a stray setting in the developer's shell must
# not change what is tested, but sanitizer and coverage options must reach the binary.
INHERITED = re.compile(r"^(PATH|HOME|TMPDIR|LANG|LC_\w+|LD_\w+|\w+SAN_OPTIONS|GCOV_\w+|LLVM_\w+)$")

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def binary():
    path = os.environ.get("TICKETD")
    assert path, "set TICKETD to the path of the ticketd binary"
    return os.path.abspath(path)


def eventually(condition, what, deadline_s=DEADLINE_S, step_s=0.01):
    """Polls until `condition()` is true, and returns what it returned."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:.1f} s: {what}")
        time.sleep(step_s)


def stays(condition, what, duration_s, step_s=0.02):
    """The opposite of `eventually`: `condition()` must hold all the time for `duration_s`."""
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        assert condition(), f"did not stay so for {duration_s} s: {what}"
        time.sleep(step_s)


# ---------------------------------------------------------------- processes


def _stat(pid):
    """The fields of /proc/PID/stat after the command name, or None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return None


def alive(pid):
    """True for a process that can still run: a zombie nobody has reaped is dead."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in (b"Z", b"X")


def start_time(pid):
    """With the pid this names a process for good, whatever the kernel reuses."""
    stat = _stat(pid)
    return None if stat is None else int(stat[19])


def cpu_seconds(pid):
    stat = _stat(pid)
    return 0.0 if stat is None else (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def title(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[0].decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _every_pid():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def session_members(session):
    """Every running process of a session: a tree is started in its own, so this is the whole tree."""
    found = []
    for pid in _every_pid():
        stat = _stat(pid)
        if stat is not None and int(stat[3]) == session and stat[0] not in (b"Z", b"X"):
            found.append(pid)
    return found


def children(parent):
    found = []
    for pid in _every_pid():
        stat = _stat(pid)
        if stat is not None and int(stat[1]) == parent and stat[0] not in (b"Z", b"X"):
            found.append(pid)
    return sorted(found)


def _die_with_the_test():
    """Runs in the child before exec: a test that is killed leaves no server behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def child_environment(settings):
    environment = {k: v for k, v in os.environ.items() if INHERITED.match(k)}
    environment.update({k: str(v) for k, v in settings.items() if v is not None})
    return environment


def run(*arguments, settings=None, directory=None, deadline_s=DEADLINE_S, program=None):
    """Runs the binary to its end.  Only what is in `settings` is set: no defaults of ours."""
    return subprocess.run(
        [program or binary(), *map(str, arguments)],
        env=child_environment(settings or {}), cwd=directory or "/", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=deadline_s,
        preexec_fn=_die_with_the_test, check=False)


class Setting:
    """One row of the table of settings."""

    def __init__(self, name, kind, default, unit, low, high, reload):
        self.name, self.kind, self.default, self.unit = name, kind, default, unit
        self.low, self.high, self.reload = float(low), float(high), reload

    @property
    def option(self):
        return "--" + self.name.lower().replace("_", "-")

    def __repr__(self):
        return self.name


def settings_table():
    row = re.compile(
        r'^SETTING\((\w+),\s*(\w+),\s*(\w+),\s*"([^"]*)",\s*"([^"]*)",\s*([\d.]+),\s*([\d.]+),\s*(\w+),',
        re.MULTILINE)
    rows = [Setting(*match[1:]) for match in row.findall(SETTINGS_DEF.read_text())]
    assert len(rows) > 20, "the table of settings is no longer read correctly"
    return rows


# ---------------------------------------------------------------- addresses


class Address:
    """Where to connect: http://127.0.0.1:80, http://[::1]:80 or unix:/path."""

    def __init__(self, url):
        self.url = url
        if url.startswith("unix:"):
            self.family, self.target, self.host = socket.AF_UNIX, url[len("unix:"):], "localhost"
            self.port = None
            return
        parts = urlsplit(url)
        self.port = parts.port
        self.host = parts.netloc
        if ":" in parts.hostname:
            self.family = socket.AF_INET6
            self.target = ("::1" if parts.hostname == "::" else parts.hostname, parts.port)
        else:
            self.family = socket.AF_INET
            self.target = ("127.0.0.1" if parts.hostname == "0.0.0.0" else parts.hostname, parts.port)

    def connect(self, timeout_s=DEADLINE_S, receive_buffer=None):
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(timeout_s)
            sock.connect(self.target)
            if self.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            raise
        return sock

    def __repr__(self):
        return self.url


def free_port(*hosts):
    """A port that nobody listens on at any of `hosts` just now."""
    for _ in range(50):
        socks = []
        try:
            port = 0
            for host in hosts or ("127.0.0.1",):
                sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
                socks.append(sock)
                sock.bind((host, port))
                port = sock.getsockname()[1]
            return port
        except OSError:
            continue
        finally:
            for sock in socks:
                sock.close()
    raise AssertionError("no free port")


# ---------------------------------------------------------------- HTTP


class BadAnswer(Exception):
    """What came back is no HTTP/1.1 answer."""


class Answer:
    def __init__(self, version, status, reason, fields, body):
        self.version, self.status, self.reason = version, status, reason
        self.fields = fields
        self.body = body

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def __getitem__(self, name):
        """The one value of a header; a header that comes twice fails the test."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    def tokens(self, name):
        """The members of a list header, lower-case, over all of its lines."""
        return [t.strip().lower() for value in self.all(name) for t in value.split(",") if t.strip()]

    @property
    def closes(self):
        return "close" in self.tokens("Connection")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.version} {self.status} {self.reason} {dict(self.fields)} {self.body[:200]!r}>"


def request_bytes(method, path, body=None, headers=(), host="ticketd.test", version="HTTP/1.1"):
    """A well-formed request.  `headers` may repeat names; a Host or Content-Length in it replaces ours."""
    if isinstance(headers, dict):
        headers = list(headers.items())
    if body is not None and not isinstance(body, (bytes, bytearray)):
        body = json.dumps(body).encode()
    given = {name.lower() for name, _ in headers}
    lines = [f"{method} {path} {version}"]
    if "host" not in given:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None and "content-length" not in given:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Client:
    """One connection.  Usable as a context manager; never reconnects by itself."""

    def __init__(self, address, timeout_s=DEADLINE_S, receive_buffer=None):
        self.address = Address(address) if isinstance(address, str) else address
        self.sock = self.address.connect(timeout_s, receive_buffer)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST, the way a client that crashed does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        chunk = self.sock.recv(65536)
        self.data += chunk
        return bool(chunk)

    def _line(self):
        while b"\n" not in self.data:
            if not self._more():
                raise BadAnswer(f"closed in a line: {self.data!r}")
        line, _, self.data = self.data.partition(b"\n")
        if not line.endswith(b"\r"):
            raise BadAnswer(f"line without CR: {line!r}")
        return line[:-1].decode("latin-1")

    def _take(self, count):
        while len(self.data) < count:
            if not self._more():
                raise BadAnswer(f"closed {count - len(self.data)} bytes early: {self.data!r}")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def answer(self, head=False, skip_continue=True):
        """Reads one answer.  ConnectionError when the server closed before its first byte."""
        if not self.data and not self._more():
            raise ConnectionResetError("closed without an answer")
        version, _, rest = self._line().partition(" ")
        code, _, reason = rest.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not re.fullmatch(r"[1-5]\d\d", code):
            raise BadAnswer(f"status line: {version} {rest}")
        fields = []
        while True:
            line = self._line()
            if not line:
                break
            name, colon, value = line.partition(":")
            if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise BadAnswer(f"header line: {line!r}")
            fields.append((name, value.strip(" \t")))
        answer = Answer(version, int(code), reason, fields, b"")
        if answer.status == 100 and skip_continue:
            return self.answer(head)
        answer.body = b"" if head or answer.status in (100, 101, 204, 304) else self._body(answer)
        return answer

    def _body(self, answer):
        if "chunked" in answer.tokens("Transfer-Encoding"):
            if answer.all("Content-Length"):
                raise BadAnswer("chunked and a Content-Length")
            body = b""
            while True:
                size = int(self._line().split(";")[0], 16)
                if size == 0:
                    while self._line():
                        pass
                    return body
                body += self._take(size)
                if self._take(2) != b"\r\n":
                    raise BadAnswer("chunk not ended by CRLF")
        length = answer["Content-Length"]
        if length is not None:
            return self._take(int(length))
        while self._more():
            pass
        body, self.data = self.data, b""
        return body

    def ask(self, method, path, body=None, headers=(), **more):
        try:
            self.send(request_bytes(method, path, body, headers, **more))
        except ConnectionError:
            pass  # refused before the last byte (413): what it said is still there to be read
        return self.answer(head=method == "HEAD")

    def rest(self, deadline_s=DEADLINE_S):
        """Everything until the server closes; fails when it does not.  A reset counts as closed."""
        end = time.monotonic() + deadline_s
        while True:
            left = end - time.monotonic()
            assert left > 0, f"the connection stayed open; so far {self.data!r}"
            self.sock.settimeout(left)
            try:
                if not self._more():
                    break
            except ConnectionError:
                break
            except TimeoutError:
                continue
        taken, self.data = self.data, b""
        return taken

    def silent(self, duration_s):
        """True when nothing arrives, not even the end of the connection, for so long."""
        return not self.data and not select.select([self.sock], [], [], duration_s)[0]


def exchange(address, data, deadline_s=DEADLINE_S):
    """Sends bytes on a new connection and returns all that comes until the server closes."""
    with Client(address, deadline_s) as client:
        try:
            client.send(data)
        except ConnectionError:
            pass  # refused before the last byte: what it said is still there to be read
        return client.rest(deadline_s)


def assert_problem(answer, status, code):
    """An RFC 9457 problem of ours: every field, the right type, and the headers every answer has."""
    assert answer.status == status, answer
    assert answer["Content-Type"] == "application/problem+json", answer
    problem = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= problem.keys(), problem
    assert problem["status"] == status and problem["code"] == code, problem
    for member in ("type", "title", "detail"):
        assert isinstance(problem[member], str) and problem[member], problem
    assert answer["X-Request-ID"], answer
    return problem


# ---------------------------------------------------------------- the server


class Server:
    """One ticketd tree.

    settings   override DEFAULTS; None removes one
    config     settings written to a file that is given by --config (and then not set by environment)
    arguments  more command line arguments
    program    another binary than TICKETD
    """

    def __init__(self, config=None, arguments=(), program=None, ready=True, **settings):
        self.directory = Path(tempfile.mkdtemp(prefix="ticketd-"))
        self.settings = {**DEFAULTS, **for_this_mode(settings)}
        command = [program or binary()]
        self.config_path = None
        if config is not None:
            for name in for_this_mode(config):
                self.settings.pop(name, None)
            self.config_path = self.directory / "ticketd.env"
            self.write_config(config)
            command += ["--config", str(self.config_path)]
        command += map(str, arguments)
        self.json_logs = str(self.settings.get("JSON_LOGS")) == "true"
        self._lines = []
        self._changed = threading.Condition()
        self._reading = threading.Event()
        self._reading.set()
        self._ended = False
        self._closing = False
        self.process = subprocess.Popen(
            command, env=child_environment(self.settings), cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, preexec_fn=_die_with_the_test)
        self.master_pid = self.process.pid
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.discard()
                raise

    # -- configuration file

    def write_config(self, config):
        """Replaces the file at one stroke, as editors and deployment tools do."""
        text = config if isinstance(config, str) else "".join(
            f"{k}={v}\n" for k, v in for_this_mode(config).items())
        new = self.config_path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.config_path)

    # -- log

    def _read_log(self):
        pipe = self.process.stderr.fileno()
        rest = b""
        while not self._closing:
            self._reading.wait()
            if not select.select([pipe], [], [], 0.1)[0]:
                continue
            chunk = os.read(pipe, 65536)
            *lines, rest = (rest + chunk).split(b"\n")
            if not chunk and rest:
                lines.append(rest)
            with self._changed:
                self._lines += lines
                self._ended = self._ended or not chunk
                self._changed.notify_all()
            if not chunk:
                return

    def pause_log(self):
        """Stops reading the log: the pipe fills up, and then a careless server blocks."""
        self._reading.clear()

    def resume_log(self):
        self._reading.set()

    def close_log(self):
        """Ends the reading for good: every further line of the server meets a broken pipe."""
        self._closing = True
        eventually(lambda: not self._reader.is_alive(), "the reader has ended")
        self.process.stderr.close()

    @property
    def raw_log(self):
        with self._changed:
            return list(self._lines)

    @staticmethod
    def _parsed(line):
        try:
            value = json.loads(line.decode("utf-8"))
            return value if isinstance(value, dict) else None
        except ValueError:
            return None

    @property
    def log(self):
        """The lines that are JSON objects, in the order of writing."""
        return [entry for entry in map(self._parsed, self.raw_log) if entry is not None]

    @property
    def not_json(self):
        return [line for line in self.raw_log if self._parsed(line) is None]

    def mark(self):
        """A place in the log, for wait_log's `since`."""
        return len(self.raw_log)

    def wait_log(self, pattern, since=0, count=1, deadline_s=DEADLINE_S):
        """Waits until `count` lines from `since` on match, and returns them: JSON entries whose
        message matches, or raw text lines when the log is no JSON."""
        wanted = re.compile(pattern) if isinstance(pattern, str) else None
        end = time.monotonic() + deadline_s
        seen, found = since, []
        while True:
            with self._changed:
                while len(self._lines) <= seen and not self._ended and time.monotonic() < end:
                    self._changed.wait(max(0.01, end - time.monotonic()))
                fresh, seen = self._lines[seen:], len(self._lines)
                ended = self._ended
            for line in fresh:
                entry = self._parsed(line) if self.json_logs else line.decode("utf-8", "replace")
                if entry is None:
                    continue
                text = entry.get("message", "") if self.json_logs else entry
                if wanted.search(text) if wanted else pattern(entry):
                    found.append(entry)
            if len(found) >= count:
                return found
            if not fresh and (ended or time.monotonic() >= end):
                raise AssertionError(
                    f"the log never said {pattern!r} {count} times; it said:\n" + self.log_text())

    def log_text(self):
        return "\n".join(line.decode("utf-8", "replace") for line in self.raw_log[-200:])

    # -- what runs

    def wait_ready(self, since=0, deadline_s=DEADLINE_S):
        self.wait_log(r"(^|\s)ready(:|$)", since=since, deadline_s=deadline_s)

    @property
    def addresses(self):
        """Every address of the listeners, and whose it is, from the log, without repeats."""
        found = {}
        for entry in (self.log if self.json_logs else [{"message": x.decode()} for x in self.raw_log]):
            match = re.search(r"listening on (http://\S+|unix:\S+)(?: \((\w+)\))?", entry.get("message", ""))
            if match:
                found.setdefault(match[1], match[2] or self._only_pool)
        return [(Address(url), pool) for url, pool in found.items()]

    @property
    def _only_pool(self):
        """Of a server with one pool, whose name its log leaves out."""
        return self.settings.get("SERVICES", STOCK_POOL)

    def _address_of(self, pool):
        fit = [address for address, name in self.addresses if name == pool]
        assert fit, f"no listener for {pool}:\n{self.log_text()}"
        return fit[0]

    @property
    def ticket_address(self):
        return self._address_of(pool_of(PURCHASE))

    @property
    def vacancy_address(self):
        return self._address_of(STOCK_POOL)

    @property
    def ticket_url(self):
        return self.ticket_address.url

    @property
    def vacancy_url(self):
        return self.vacancy_address.url

    def address_for(self, path):
        return self._address_of(pool_of(path))

    @staticmethod
    def service_for(path):
        return pool_of(path)

    def ports(self):
        """Settings with which another server listens where this one does."""
        return {f"{pool.upper()}_PORT": self._address_of(pool).port
                for pool in POOLS if self.settings.get("SERVICES", "all") in (pool, "all")}

    def workers(self, pool=STOCK_POOL):
        """pid → title of every worker of a pool that has its title (not a child just forked)."""
        titles = {pid: title(pid) for pid in children(self.master_pid)}
        return {pid: text for pid, text in titles.items() if re.fullmatch(rf"ticketd: worker \d+ \({pool}\)", text)}

    def wait_workers(self, count, without=(), deadline_s=DEADLINE_S, pool=STOCK_POOL):
        """Waits for exactly so many workers of a pool, none of them in `without`."""
        def settled():
            now = self.workers(pool)
            return now if len(now) == count and not set(now) & set(without) else None
        return eventually(settled, f"{count} workers", deadline_s)

    # -- asking

    def connect(self, path=AVAILABLE, **more):
        return Client(self.address_for(path), **more)

    def ask(self, method, path, body=None, headers=(), **more):
        """One request on a connection of its own."""
        with self.connect(path) as client:
            return client.ask(method, path, body, headers, **more)

    def available(self):
        answer = self.ask("GET", AVAILABLE)
        assert answer.status == 200, answer
        return answer.json()["qty"]

    def send_signal(self, number):
        os.kill(self.master_pid, number)

    # -- the end

    def wait_exit(self, deadline_s=DEADLINE_S):
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {deadline_s} s:\n{self.log_text()}") from None
        self._reading.set()
        return code

    def assert_gone(self, deadline_s=DEADLINE_S):
        """No process of the tree is left."""
        eventually(lambda: not session_members(self.master_pid),
                   "every process of the tree has ended", deadline_s)

    def stop(self, number=signal.SIGTERM, deadline_s=DEADLINE_S):
        """Ends the server the proper way, and checks that it was proper."""
        if self.process.returncode is None:
            self.send_signal(number)
            code = self.wait_exit(deadline_s)
            left = [(pid, title(pid)) for pid in session_members(self.master_pid)]
            assert code == 0, f"exit code {code}:\n{self.log_text()}"
            assert not left, f"left behind: {left}"
        self._reader.join(DEADLINE_S)
        if self.json_logs:
            assert not self.not_json, f"lines that are not JSON: {self.not_json}"
        self.discard()

    def discard(self):
        """Ends whatever is left, without judging, and removes the directory.  May run twice."""
        self._reading.set()
        members = session_members(self.master_pid)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pid in members:
            if pid != self.master_pid and _stat(pid) and int(_stat(pid)[3]) == self.master_pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self._reader.join(DEADLINE_S)
        if not self._reader.is_alive():
            self.process.stderr.close()
        shutil.rmtree(self.directory, ignore_errors=True)


# ---------------------------------------------------------------- load


class Load:
    """Connections that each buy one ticket after the other, until stopped.

    keepalive  True: one connection, reopened only after an answer said `Connection: close`
               False: a connection for every ticket
    A request that was sent and not answered is in `unanswered`: it may or may not have sold.
    """

    def __init__(self, server, connections=8, keepalive=True, method="POST", path=RESERVE,
                 body=b'{"qty":1}', pause_s=0.0, tolerant=False):
        self.address = server.address_for(path)
        self.request = request_bytes(method, path, body if method == "POST" else None)
        self.keepalive, self.pause_s, self.tolerant = keepalive, pause_s, tolerant
        self.sold = 0
        self.remaining, self.orders = [], []
        self.answered = 0
        self.refused = []
        self.unanswered = []
        self.wrong = []
        self.last_closed = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.finish()

    def finish(self):
        self._stop.set()
        self.join()

    def join(self, deadline_s=DEADLINE_S):
        end = time.monotonic() + deadline_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    @property
    def running(self):
        return sum(thread.is_alive() for thread in self._threads)

    def wait_answers(self, more):
        """Waits for so many further answers, so that load is known to flow."""
        goal = self.answered + more
        eventually(lambda: self.answered >= goal or not self.running, f"{more} answers under load")

    @property
    def failures(self):
        return self.refused + self.unanswered + self.wrong

    def _note(self, where, error):
        with self._lock:
            where.append(f"{time.monotonic():.3f} {type(error).__name__}: {error}")
        return self.tolerant

    def _run(self):
        client = None
        while not self._stop.is_set():
            if client is None:
                try:
                    client = Client(self.address)
                except OSError as error:
                    if not self._note(self.refused, error):
                        return
                    self._stop.wait(0.01)
                    continue
            try:
                client.send(self.request)
                answer = client.answer()
            except (OSError, BadAnswer) as error:
                client.close()
                client = None
                if not self._note(self.unanswered, error):
                    return
                continue
            self._count(answer)
            if answer.closes or not self.keepalive:
                client.close()
                client = None
            if self.pause_s:
                self._stop.wait(self.pause_s)
        if client is not None:
            client.close()

    def _count(self, answer):
        with self._lock:
            self.answered += 1
            self.last_closed += answer.closes
            if answer.status != 200:
                self.wrong.append(repr(answer))
                return
            said = answer.json()
            if said.get("success"):
                self.sold += 1
                self.remaining.append(said["remaining"])
                self.orders.append(said["order_id"])


def replace(path, content):
    """Puts a new executable in the place of the old, the way `ninja install` does."""
    new = path.with_suffix(".new")
    if isinstance(content, bytes):
        new.write_bytes(content)
    else:
        shutil.copyfile(content, new)
    new.chmod(stat.S_IRWXU)
    os.replace(new, path)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False
