"""What the tests under systemd share: a unit with its socket, and clients that measure."""

import json
import os
import re
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

from harness import AVAILABLE, PURCHASE, RESERVE, Address, Client, Load, eventually

PORTS = {"monolith": 8000, "vacancy": 8001, "ticket": 8002}
POOLS = tuple(PORTS)
# The disk of a busy machine may stand still for longer than the settings' own defaults of two seconds.
UNHURRIED = {"SALE_TIMEOUT": 15, "VACANCY_TIMEOUT": 20}


class Unit:
    """ticket-POOL.service and ticket-POOL.socket in the container of a manager."""

    def __init__(self, manager, pool):
        self.manager, self.pool, self.began_s = manager, pool, time.time()
        self.service, self.socket = f"ticket-{pool}.service", f"ticket-{pool}.socket"
        self.address = Address(f"http://127.0.0.1:{PORTS[pool]}")

    # -- what systemctl does

    def systemctl(self, verb, *arguments, **more):
        return self.manager.run("systemctl", verb, *arguments, self.service, **more)

    def start(self):
        self.systemctl("start")

    def stop(self):
        """The service and its socket: a client would start it again."""
        self.manager.run("systemctl", "stop", self.socket, self.service)

    def show(self, name, unit=None):
        done = self.manager.run("systemctl", "show", "--value", "-p", name, unit or self.service)
        return done.stdout.strip()

    @property
    def state(self):
        return self.show("ActiveState")

    @property
    def main_pid(self):
        return int(self.show("MainPID"))

    @property
    def restarts(self):
        return int(self.show("NRestarts"))

    def wait_state(self, state, **more):
        eventually(lambda: self.state == state, f"{self.service} is {state}", **more)

    def told(self):
        """What `systemctl status` tells an operator."""
        return self.manager.run("systemctl", "status", "--no-pager", "--full", self.service, check=False).stdout

    def exposure(self):
        """systemd's own judgement, of 10; the lower the better."""
        told = self.manager.run("systemd-analyze", "security", "--no-pager", self.service, check=False).stdout
        return float(re.search(r"Overall exposure level for .*?: ([\d.]+)", told)[1])

    def start_ms(self):
        """How long the last start took, from systemd's decision to the service's word that it is ready."""
        began, ready = (int(self.show(f"{name}TimestampMonotonic")) for name in ("InactiveExit", "ActiveEnter"))
        return (ready - began) / 1000

    def wait_status(self, text):
        eventually(lambda: text in self.show("StatusText"), f"the status says {text!r}")

    # -- its files

    def setting(self, **settings):
        """Settings of all units, beside UNHURRIED, read at their next start."""
        path = self.manager.root / "etc/ticketd/environment"
        path.write_text("".join(f"{name}={value}\n" for name, value in {**UNHURRIED, **settings}.items()))

    @property
    def config(self):
        return self.manager.root / f"etc/ticketd/{self.pool}.env"

    def configure(self, **settings):
        """Settings of this unit's own file, which are there already."""
        text = self.config.read_text()
        for name, value in settings.items():
            text, count = re.subn(f"^{name}=.*", f"{name}={value}", text, flags=re.MULTILINE)
            assert count == 1, name
        self.config.write_text(text)

    def drop_in(self, text, unit=None):
        folder = self.manager.root / f"etc/systemd/system/{unit or self.service}.d"
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text(text)
        self.manager.run("systemctl", "daemon-reload")

    # -- its processes, by their numbers in the container

    def processes(self):
        """pid → title."""
        cgroup = self.show("ControlGroup")
        found = {}
        for pid in self._pids(cgroup.lstrip("/")) if cgroup else []:
            with suppress(OSError):
                # the kernel has told the pids of this side
                inside = re.search(r"^NSpid:.*\s(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
                found[int(inside[1])] = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        return found

    def _pids(self, cgroup):
        with suppress(OSError):
            return (self.manager.root / "sys/fs/cgroup" / cgroup / "cgroup.procs").read_text().split()
        return []

    def find(self, title):
        """The pid of the process with that title, when there is one."""
        return eventually(lambda: [p for p, t in self.processes().items() if t.startswith(f"ticketd: {title}")],
                          f"a process {title}")[0]

    def kill(self, pid, signal="KILL"):
        self.manager.run("kill", f"-{signal}", pid)

    # -- the journal

    def journal(self):
        """The entries of the service in this test, the newest last."""
        done = self.manager.run("journalctl", "--no-pager", "-o", "json", f"--since=@{self.began_s:.6f}",
                                "-u", self.service)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_journal(self, text, since=0):
        def said():
            return [entry for entry in self.journal()[since:] if text in (entry["MESSAGE"] or "")]
        return eventually(said, f"the journal says {text!r}")

    # -- asking

    def ask(self, method, path, body=None, headers=()):
        with Client(self.address) as client:
            return client.ask(method, path, body, headers)

    def available(self):
        answer = self.ask("GET", AVAILABLE)
        assert answer.status == 200, answer
        return answer.json()["qty"]

    def buy(self, headers=()):
        answer = self.ask("POST", RESERVE if self.pool == "vacancy" else PURCHASE, {"qty": 1}, headers)
        assert answer.status == 200 and answer.json()["success"], answer
        return answer.json()["order_id"]

    def order_status(self, order):
        answer = self.ask("GET", f"/api/v1/orders/{order}")
        return answer.json()["status"] if answer.status == 200 else answer.status

    def is_ready(self):
        return self.ask("GET", "/ready").status == 200


class Binary:
    """The ticketd that the units run, which can be replaced by versions that differ by a mark at their end."""

    def __init__(self, unit):
        self.unit = unit
        self.path = unit.manager.root / re.search(r"path=/(\S+)", unit.show("ExecStart"))[1]
        self.original = self.path.with_suffix(".original")
        shutil.copy2(self.path, self.original)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.replace(self.original, self.path)

    def upgrade(self, mark):
        """As an operator does it: the new file in the place of the old one, and a restart."""
        new = self.path.with_suffix(".new")
        shutil.copy2(self.original, new)
        with open(new, "ab") as file:
            file.write(mark)
        os.replace(new, self.path)
        self.unit.systemctl("restart")
        running = os.stat(self.unit.manager.root / f"proc/{self.unit.main_pid}/exe")
        assert (running.st_ino, running.st_size) == (os.stat(self.path).st_ino,
                                                     os.stat(self.original).st_size + len(mark))


class Buyers(Load):
    """Load on a unit, which also knows the longest time that one of its clients went without an answer."""

    def __init__(self, unit, **more):
        self.longest_gap_s, self._last_s = 0.0, {}
        super().__init__(unit, **more)

    def _count(self, answer):
        super()._count(answer)
        client, now = threading.get_ident(), time.monotonic()
        with self._lock:
            self.longest_gap_s = max(self.longest_gap_s, now - self._last_s.get(client, now))
            self._last_s[client] = now

    def wait_each(self):
        """Waits until every client has been answered once more."""
        since = time.monotonic()

        def is_answered():
            with self._lock:
                answered = sum(last_s > since for last_s in self._last_s.values())
            return answered >= self.running
        eventually(is_answered, "an answer to each client")


def buyers(unit, **more):
    """Clients that buy where the public buys; `more` is Load's."""
    class Place:
        """What Load asks for an address."""

        @staticmethod
        def address_for(_path):
            return unit.address
    return Buyers(Place, path=RESERVE if unit.pool == "vacancy" else PURCHASE, **more)
