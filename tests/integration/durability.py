"""What the tests of durability share: the ledger as a file, deaths of whole trees, buyers with keys.

* `Ledger`  a ledger in a directory that outlives the servers that are started on it; read with
  Python's own SQLite, so that no line of ours vouches for itself.
* `Buyers`  threads that buy one ticket after the other, each with a key of its own, and note what
  they were told.  `Ledger.check` holds that against what is in the ledger.
* `sigkill_tree`, `paused`, `keeper`, `reader`  deaths and pauses of the processes of a tree.
"""

import contextlib
import hashlib
import os
import random
import signal
import sqlite3
import threading
import time

from harness import (AVAILABLE, DEADLINE_S, SELL_PATH, SELL_PATHS, Address, BadAnswer, Client, children, eventually,
                     request_bytes, session_members, title)

ORDER = "/api/v1/orders/"
# ticketd/ledger.h, enum ledger_kind
SALE, DUPLICATE, VOID, RETURN, RESTOCK = 1, 2, 3, 4, 5
# Answers that mean: nothing was sold by this request, ask again.
NOT_SOLD = {"overloaded", "vacancy_unavailable", "ledger_unavailable", "idempotency_key_in_flight"}
UNKNOWN = "outcome_unknown"
# Between two tries of a client whom nobody serves: many of them must not take the machine's time.
PAUSE_S = 0.01


def seeded():
    """A generator of random numbers, whose seed a failed test shows; TICKETD_TEST_SEED repeats it."""
    seed = int(os.environ.get("TICKETD_TEST_SEED", random.randrange(1 << 32)))
    print("TICKETD_TEST_SEED", seed)
    return random.Random(seed)


# ---------------------------------------------------------------- processes


def _only(server, name):
    def find():
        found = [pid for pid in children(server.master_pid) if title(pid) == f"ticketd: {name}"]
        return found[0] if len(found) == 1 else None
    return eventually(find, f"the {name} runs")


def keeper(server):
    return _only(server, "keeper")


def reader(server):
    return _only(server, "reader")


def sigkill_tree(server):
    """Ends every process of the tree at once, as the loss of power would: no flush, no farewell."""
    # The children die with their master (PR_SET_PDEATHSIG), but not at the same instant.
    for pid in session_members(server.master_pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert server.wait_exit() == -signal.SIGKILL
    server.assert_gone()


@contextlib.contextmanager
def paused(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def paused_idle(pid):
    """As paused, but only ever where it waits for work: a keeper that stands still in the middle of its
    input and output is taken, rightly, for one that waits for a slow disk."""
    def stop():
        slept = _slept(pid)
        if "poll" not in _waits_in(pid):
            return False
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: _status(pid, "State").startswith("T"), "it is stopped")
        # Had it begun anything since, it would have slept once more than for this stop.
        if _slept(pid) == slept + 1:
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    eventually(stop, f"{pid} is stopped while it waits for work")
    with paused(pid):
        yield


def _status(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith(name + ":"))


def _slept(pid):
    return int(_status(pid, "voluntary_ctxt_switches"))


def ready(server):
    """As the pool that owns the stock says, which asks nobody else."""
    with server.connect(AVAILABLE) as client:
        return client.ask("GET", "/ready").status


def order(server, order_id):
    return server.ask("GET", ORDER + order_id)


# ---------------------------------------------------------------- the ledger


def key_of(text):
    """A key as the ledger has it (ticketd/key.h)."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return "00000000" + digest[8:] if text.startswith("ticketd.") else digest


class Ledger:
    """sqlite:PATH in a directory of the test's own; readable while servers write it."""

    def __init__(self, directory, name="ledger.db"):
        self.path = directory / name
        self.url = f"sqlite:{self.path}"

    def rows(self, sql, *arguments):
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=DEADLINE_S)) as db:
            return db.execute(sql, arguments).fetchall()

    def sales(self):
        """(order_id, key, quantity) of every sale, in the order of selling."""
        return self.rows("SELECT order_id, key, quantity FROM orders ORDER BY sequence")

    def count(self, kind):
        return self.rows("SELECT count(*) FROM entries WHERE kind = ?", kind)[0][0]

    def balance(self):
        """Of the one event, counted from its entries: capacity, available, sold, owed."""
        ((capacity, available, sold, owed, continuous, balanced),) = self.rows(
            "SELECT capacity, available, sold, owed, continuous, balanced FROM balances")
        assert continuous and balanced, "the ledger contradicts itself"
        return capacity, available, sold, owed

    def check(self, *buyers):
        """Every order that somebody was told of is in the ledger exactly once, and no sale that was
        answered as not made is.  Returns what `sales` returned."""
        sales = self.sales()
        by_key, by_order = {}, {}
        for order, key, quantity in sales:
            assert order not in by_order, "an order is twice in the ledger"
            by_order[order] = quantity
            if key is not None:
                assert key not in by_key, "a key has sold twice"
                by_key[key] = order
        for crowd in buyers:
            for key, order in crowd.orders.items():
                assert by_key.get(key_of(key)) == order, f"order {order} of {key}: {by_key.get(key_of(key))}"
            for key, code in crowd.refused.items():
                assert code == UNKNOWN or key_of(key) not in by_key, f"{key} was refused with {code} and has sold"
        self.balance()
        return sales

    # -- the socket of the operators, which lies beside it

    def control(self, method, path, body=None):
        with Client(Address(f"unix:{self.path}.control")) as client:
            return client.ask(method, path, body)

    def add_stock(self, count):
        answer = self.control("POST", "/control/v1/stock", {"event": "default", "add": count})
        assert answer.status == 200, answer
        return answer.json()["available"]

    def event(self):
        """The event as the running tree has it."""
        (event,) = self.control("GET", "/control/v1/stock").json()["events"]
        return event

    def settled(self, sold, capacity):
        """Waits until nothing is owed and nothing is under way; then exactly so many are sold."""
        def is_settled():
            event = self.event()
            return event["sequence"] == event["published"]["sequence"] and self.balance()[3] == 0
        eventually(is_settled, "all is in the ledger and nothing is owed")
        assert self.balance() == (capacity, capacity - sold, sold, 0)
        assert self.event()["available"] == capacity - sold


@contextlib.contextmanager
def locked(ledger):
    """Somebody's shell is in the middle of writing into the ledger."""
    db = sqlite3.connect(ledger.path, timeout=DEADLINE_S, isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
    finally:
        db.close()


@contextlib.contextmanager
def stuck(server, ledger, sell):
    """The keeper has taken what `sell` sold, and stands still in the middle of writing it."""
    pid = keeper(server)
    try:
        with locked(ledger):
            taken = ledger.event()["sequence"]
            sell()
            eventually(lambda: ledger.event()["sequence"] > taken, "the sale is in the journal")
            # It waits for the lock in short sleeps, for two seconds in all.
            eventually(lambda: _waits_for_lock(pid), "the keeper waits for the lock")
            os.kill(pid, signal.SIGSTOP)
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _waits_for_lock(pid):
    """An idle keeper sleeps in poll; only one that waits for SQLite's lock sleeps by the clock."""
    return "nanosleep" in _waits_in(pid)


def _waits_in(pid):
    """The kernel's function that the process sleeps in."""
    with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
        return file.read()


# ---------------------------------------------------------------- buyers


def buy(client, key=None, qty=1, path=SELL_PATH):
    return client.ask("POST", path, {"qty": qty}, {"Idempotency-Key": key} if key else ())


class Buyers:
    """Threads that buy, each sale with a new key, until `finish` or until each has `each` orders.

    retry   the same key is asked again until it has an order, whatever comes between
    orders  key → order_id of every `success`
    refused key → code of the answer, of keys that were given up (never with retry)
    lost    keys whose request broke off without an answer and were given up
    wrong   whatever should never come

    `paths` are shared out among the connections.  A server that takes the place of `server` is
    expected at the same addresses."""

    def __init__(self, server, connections=8, each=None, retry=False, name="k", paths=tuple(SELL_PATHS)):
        self.each, self.retry = each, retry
        self.orders, self.refused, self.lost, self.wrong = {}, {}, [], []
        self.replayed = 0
        self.answered = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        ways = [(server.address_for(path), path) for path in paths]
        self._threads = [threading.Thread(target=self._run, args=(f"{name}-{i}", *ways[i % len(ways)]), daemon=True)
                         for i in range(connections)]

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
        assert not any(thread.is_alive() for thread in self._threads), "a buyer hangs"

    @property
    def running(self):
        return sum(thread.is_alive() for thread in self._threads)

    def wait_answers(self, more):
        goal = self.answered + more
        eventually(lambda: self.answered >= goal or not self.running, f"{more} answers")

    def wait_orders(self, more):
        goal = len(self.orders) + more
        eventually(lambda: len(self.orders) >= goal or not self.running, f"{more} orders")

    def _run(self, name, address, path):
        connection = Reconnecting(address)
        bought = 0
        while not self._stop.is_set() and (self.each is None or bought < self.each):
            bought += 1
            key = f"{name}-{bought}"
            # With retry a key is not given up, not even at the end: its order may exist.
            while not self._ask(connection, path, key):
                time.sleep(PAUSE_S)
        connection.close()

    def _ask(self, connection, path, key):
        """True when this key is done with."""
        answer = connection.ask(request_bytes("POST", path, {"qty": 1}, {"Idempotency-Key": key}))
        if answer is None:
            if not self.retry:
                with self._lock:
                    self.lost.append(key)
                time.sleep(PAUSE_S)
            return not self.retry
        with self._lock:
            self.answered += 1
            done = self._note(key, answer)
        if answer.status == 503:
            time.sleep(PAUSE_S)
        return done

    def _note(self, key, answer):
        said = answer.json()
        if answer.status == 200 and said.get("success"):
            self.orders[key] = said["order_id"]
            self.replayed += answer["Idempotent-Replayed"] == "true"
            return True
        if answer.status in (409, 503) and said["code"] in NOT_SOLD | {UNKNOWN}:
            if not self.retry:
                self.refused[key] = said["code"]
            return not self.retry
        self.wrong.append(repr(answer))
        return True


class Reconnecting:
    """A connection that is opened when it is needed."""

    def __init__(self, address):
        self.address, self.client = address, None

    def close(self):
        if self.client is not None:
            self.client.close()
        self.client = None

    def ask(self, request):
        """The answer, or None when there was none."""
        try:
            if self.client is None:
                self.client = Client(self.address)
            self.client.send(request)
            answer = self.client.answer()
        except (OSError, BadAnswer):
            self.close()
            return None
        if answer.closes:
            self.close()
        return answer
