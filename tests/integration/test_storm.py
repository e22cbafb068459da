"""A storm: workers, keeper, reader and the whole tree are killed at random moments, again and again,
and every client that asks until it has an answer ends with exactly one order."""

import os
import signal
import time

from durability import Buyers, Ledger, keeper, reader, seeded, sigkill_tree
from harness import LONG, POOLS, alive, eventually

STOCK = 1000000
KILLS = 1000 if LONG else 60
# So many deaths of single processes at most before the whole tree has its turn: their pauses before
# the next start grow with each death, and end with the tree.
SINGLE_DEATHS_MAX = 5


def victim_of(server, kind, rng):
    if kind == "keeper":
        return keeper(server)
    if kind == "reader":
        return reader(server)
    pool = rng.choice(POOLS)
    return eventually(lambda: min(server.workers(pool), default=None), "a worker lives")


# Nothing is lost, nothing is sold twice, nothing stays owed.
def test_storm(start, tmp_path):
    rng = seeded()
    ledger = Ledger(tmp_path)
    settings = {"LEDGER_URL": ledger.url, "INITIAL_STOCK": STOCK, "WORKERS": 2, "SALE_TIMEOUT": 1}
    server = start(**settings)
    # The tree that comes next is found where the last one was.
    settings.update(server.ports())
    kinds = ["worker", "worker", "keeper", "keeper", "reader", "tree"]
    single_deaths = 0
    with Buyers(server, connections=8, retry=True) as load:
        for _ in range(KILLS):
            load.wait_orders(rng.randint(1, 40))
            # at any point of a sale or a batch, and not only right after an answer
            time.sleep(rng.uniform(0, 0.005))
            kind = "tree" if single_deaths == SINGLE_DEATHS_MAX else rng.choice(kinds)
            if kind == "tree":
                sigkill_tree(server)
                server.discard()
                server = start(**settings)
                single_deaths = 0
                continue
            victim = victim_of(server, kind, rng)
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: not alive(victim), "its death")
            single_deaths += 1
        load.wait_orders(50)
    assert not load.wrong, load.wrong[:3]
    sales = ledger.check(load)
    assert len(sales) == len(load.orders), "an order that nobody has"
    ledger.settled(len(sales), STOCK)
