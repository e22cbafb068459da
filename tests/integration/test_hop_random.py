"""Purchases through a hop that breaks at random: not one ticket is unaccounted for."""

import os
import signal
import threading

import pytest

from durability import keeper, seeded
from harness import DEADLINE_S, LONG, MICROSERVICES, alive, eventually
from hop import Shopper
from hop_proxy import HARMFUL, AtRandom, passes, swallows_answer, swallows_request

pytestmark = pytest.mark.skipif(not MICROSERVICES, reason="there is one process between client and stock")

KEYED = 20000 if LONG else 1000
UNKEYED = 4000 if LONG else 200
CLIENTS = 20
# Of processes: their pauses before the next start grow with each.
DEATHS = 6
# Of the exchanges, so many in a hundred meet a fault.
BROKEN = 40


class Crowd:
    """Threads that each make their share of the purchases, one after the other."""

    def __init__(self, address, names, keyed):
        self.orders, self.problems, self.asked = [], [], 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(address, names[i::CLIENTS], keyed), daemon=True)
                         for i in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self, address, names, keyed):
        shopper = Shopper(address)
        try:
            for name in names:
                order = shopper.shop(name if keyed else None)
                with self._lock:
                    self.orders.append(order)
        except Exception as problem:  # pylint: disable=broad-exception-caught
            self.problems.append(repr(problem))
        with self._lock:
            self.asked += shopper.asked
        shopper.connection.close()

    @property
    def running(self):
        return any(thread.is_alive() for thread in self._threads)

    def join(self):
        for thread in self._threads:
            thread.join(20 * DEADLINE_S)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"


def told(crowds, shop):
    """Ends the crowds; then the orders that they have are all orders there are."""
    for crowd in crowds:
        crowd.join()
    shop.proxy.fault = passes
    problems = [problem for crowd in crowds for problem in crowd.problems]
    assert not problems, problems[:3]
    shop.check([order for crowd in crowds for order in crowd.orders])


# A thousand keyed purchases and some without a key: every client ends with exactly one order for each,
# as many tickets are sold as there are orders, and the audit agrees.
@pytest.mark.parametrize("batch", [128, 1], ids=["many a request", "one a request"])
def test_random_faults(hop, batch):
    rng = seeded()
    shop = hop(VACANCY_TIMEOUT=1, BREAKER_OPEN_SECONDS=0.05, BREAKER_FAILURES=5, BATCH_MAX=batch)
    # those that use up a purchase's time are fewer
    harm = shop.proxy.fault = AtRandom(rng, BROKEN / 100, HARMFUL * 3 + [swallows_answer, swallows_request])
    crowds = [Crowd(shop.server.ticket_address, [f"key-{n}" for n in range(KEYED)], True),
              Crowd(shop.server.ticket_address, list(range(UNKEYED)), False)]
    told(crowds, shop)
    print(harm.met, "faults in", len(shop.proxy.batches), "requests;", sum(c.asked for c in crowds), "asked for",
          KEYED + UNKEYED)
    assert harm.met > (20 if batch > 1 else KEYED // 10), "too few faults to tell"
    keyed, unkeyed = crowds
    assert (len(keyed.orders), len(unkeyed.orders)) == (KEYED, UNKEYED)
    # asked again, each key tells the order that its client has
    shopper = Shopper(shop.server.ticket_address)
    assert {shopper.shop(f"key-{n}") for n in range(KEYED)} == set(keyed.orders)
    shopper.connection.close()
    shop.check(keyed.orders + unkeyed.orders)


# The same while the processes behind the hop die and are replaced, too.
def test_random_faults_and_deaths(hop):
    rng = seeded()
    shop = hop(VACANCY_TIMEOUT=1, BREAKER_OPEN_SECONDS=0.05, SALE_TIMEOUT=0.5)
    shop.proxy.fault = AtRandom(rng, BROKEN / 200)
    crowds = [Crowd(shop.server.ticket_address, [f"key-{n}" for n in range(KEYED // 2)], True),
              Crowd(shop.server.ticket_address, list(range(UNKEYED)), False)]

    def bought():
        return sum(len(crowd.orders) for crowd in crowds)

    deaths = 0
    for turn in range(1, DEATHS + 1):
        goal = turn * (KEYED // 2 + UNKEYED) // (DEATHS + 1)
        eventually(lambda: bought() >= goal or not any(crowd.running for crowd in crowds), "purchases go on",
                   deadline_s=5 * DEADLINE_S)
        if any(crowd.running for crowd in crowds):
            victim = keeper(shop.server) if rng.random() < 0.4 else min(shop.server.workers(), default=None)
            if victim is not None:
                os.kill(victim, signal.SIGKILL)
                eventually(lambda: not alive(victim), "its death")
                deaths += 1
    told(crowds, shop)
    assert deaths >= 2, "too few deaths to tell"
    assert [len(crowd.orders) for crowd in crowds] == [KEYED // 2, UNKEYED]
