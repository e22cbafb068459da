"""What the tests of the hop share: both pools with a proxy between them, and what an answer means."""

import json
import os

import harness
from durability import NOT_SOLD, UNKNOWN, Ledger, Reconnecting
from harness import PURCHASE, eventually, request_bytes
from hop_proxy import HopProxy

STOCK = 100000
KEY = "Idempotency-Key"
SOLD, NOTHING, IN_DOUBT = "sold", "nothing was sold", "nobody knows"


def audit(ledger):
    """ticketctl's judgement of the ledger, and of the server that has it open."""
    path = os.environ.get("TICKETCTL")
    assert path, "set TICKETCTL to the path of the ticketctl binary"
    done = harness.run("audit", "--json", settings={"LEDGER_URL": ledger.url}, program=os.path.abspath(path))
    assert done.returncode == 0, (done.stdout, done.stderr)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["agrees"], done.stdout
    return summary


def outcome(answer, keyed):
    """What a purchase's answer says of the sale; fails on an answer that says something else."""
    said = answer.json()
    if answer.status == 200:
        assert said["success"] is True and said["order_id"], answer
        return SOLD
    assert answer.status == 503 and int(answer["Retry-After"]) > 0, answer
    if said["code"] == UNKNOWN:
        # Who has no key is told one: else nobody could ever ask what became of it.
        assert keyed or answer[KEY], answer
        return IN_DOUBT
    assert said["code"] in NOT_SOLD and "nothing was sold" in said["detail"], answer
    return NOTHING


class Hop:
    """Both pools under one master, and all that they say to each other goes through `proxy`."""

    def __init__(self, start, directory, listen="127.0.0.1", base="", url=None, **settings):
        self.proxy = HopProxy(listen, base)
        self.ledger = Ledger(directory)
        url = url.format(port=self.proxy.port) if url else self.proxy.url
        self.server = start(**{"VACANCY_URL": url, "LEDGER_URL": self.ledger.url, "INITIAL_STOCK": STOCK, **settings})
        self.proxy.target = self.server.vacancy_address

    def buy(self, key=None, qty=1, headers=()):
        """One purchase at the ticket pool, on a connection of its own."""
        return self.server.ask("POST", PURCHASE, {"qty": qty}, [*([(KEY, key)] if key else []), *headers])

    def resolved(self, answer, key=None):
        """Asks again, with the key that was sent or told, until the sale is made; the order."""
        while True:
            told = outcome(answer, key)
            if told == SOLD:
                return answer.json()["order_id"]
            key = key or answer[KEY]
            answer = self.buy(key)

    def recovers(self):
        """It sells again, by itself, and says so."""
        answer = eventually(lambda: (lambda one: one if one.status == 200 else None)(self.buy()), "it sells again")
        eventually(lambda: self.server.ask("GET", "/ready").status == 200, "it is ready again")
        return answer.json()["order_id"]

    def check(self, orders):
        """Exactly these orders are in the ledger, one ticket each, and the stock agrees with them."""
        orders = list(orders)
        assert len(set(orders)) == len(orders), "an order was given twice"
        self.ledger.settled(len(orders), STOCK)
        assert {row[0] for row in self.ledger.sales()} == set(orders)
        assert self.server.available() == STOCK - len(orders)
        assert audit(self.ledger)["server"]


class Shopper:
    """A client that asks on until it has its order, with its key or with the one that it is told."""

    def __init__(self, address):
        self.connection = Reconnecting(address)
        self.asked = 0

    def shop(self, key=None):
        while True:
            self.asked += 1
            answer = self.connection.ask(
                request_bytes("POST", PURCHASE, {"qty": 1}, {KEY: key} if key else {}))
            assert answer is not None, "the ticket pool broke off"
            if answer.status == 409:
                assert key and answer.json()["code"] == "idempotency_key_in_flight", answer
                continue
            told = outcome(answer, key)
            if told == SOLD:
                return answer.json()["order_id"]
            if told == IN_DOUBT:
                key = key or answer[KEY]
