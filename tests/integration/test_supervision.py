"""Deaths: of a worker, of a worker again and again, of the master.  The stock stays exact."""

import os
import random
import re
import signal
import time

import pytest

from harness import (AVAILABLE, LONG, POOLS, PURCHASE, RESERVE, SELL_PATHS, SLACK_S, SLOW, STOCK_POOL, Load, alive, children,
                     eventually, session_members, title)

STOCK = 1000000


def death_of(server, pid, since=0):
    """The line that tells of a worker's death."""
    (line,) = server.wait_log(lambda entry: entry["level"] == "WARNING" and re.search(rf"\b{pid}\b", entry["message"]), since)
    return line


# ps shows who is who.
def test_titles(start):
    server = start(WORKERS=3)
    assert title(server.master_pid).startswith("ticketd: master")
    assert sorted(server.wait_workers(3).values()) == [f"ticketd: worker {n} ({STOCK_POOL})" for n in range(3)]


# WORKERS=0 means one for each CPU that the process may use.
def test_workers_by_cpu(start):
    server = start(WORKERS=0)
    server.wait_workers(len(os.sched_getaffinity(0)))


# Ready is only said once every worker serves.
def test_ready_means_all_workers(start):
    server = start(WORKERS=4)
    assert all(len(server.workers(pool)) == 4 for pool in POOLS)


# A dead worker is told of with pid and signal, and replaced under the same title.
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1, signal.SIGABRT])
def test_worker_is_replaced(start, number):
    server = start(WORKERS=2)
    before = server.workers()
    victim = sorted(before)[0]
    os.kill(victim, number)
    line = death_of(server, victim)
    assert re.search(rf"\b{int(number)}\b|{number.name}|{signal.strsignal(number)}", line["message"]), line
    after = server.wait_workers(2, without=[victim])
    assert sorted(after.values()) == sorted(before.values())
    assert set(before) - {victim} <= set(after), "another worker was touched"
    assert server.ask("POST", RESERVE, {"qty": 1}).status == 200


# Killing a worker under load loses only what it had in hand: the other workers go on, and the stock
# went down by what was answered as sold, plus at most one ticket for each request without an answer.
@pytest.mark.parametrize("path", SELL_PATHS)
@pytest.mark.parametrize("keepalive", [True, False], ids=["keepalive", "one-shot"])
def test_kill_under_load(start, keepalive, path):
    server = start(WORKERS=3, INITIAL_STOCK=STOCK)
    rng = random.Random(7)
    with Load(server, connections=12, keepalive=keepalive, tolerant=True, path=path) as load:
        load.wait_answers(200)
        for _ in range(20 if LONG else 4):
            pool = rng.choice(POOLS)
            victim = rng.choice(sorted(server.wait_workers(3, pool=pool)))
            os.kill(victim, signal.SIGKILL)
            load.wait_answers(200)
            server.wait_workers(3, without=[victim], pool=pool)
        load.wait_answers(200)
    assert not load.wrong, load.wrong[:3]
    assert not load.refused, "the listener must outlive a worker"
    lost = STOCK - server.available()
    assert load.sold <= lost <= load.sold + len(load.unanswered), (load.sold, lost, len(load.unanswered))
    assert len(set(load.orders)) == len(load.orders), "an order was given twice"
    # Over the hop a purchase is tried again under its key: what a dead worker's try took comes back,
    # and the stock passes the same number once more.
    assert path == PURCHASE or len(set(load.remaining)) == len(load.remaining), "a ticket was sold twice"
    # every later request works
    with Load(server, connections=8, keepalive=False, path=path) as after:
        after.wait_answers(200)
    assert not after.failures, after.failures[:3]


# All workers at once: connections wait in the kernel and are served by the new ones.
def test_kill_all_workers(start):
    server = start(WORKERS=3, INITIAL_STOCK=STOCK)
    assert server.ask("POST", RESERVE, {"qty": 5}).status == 200
    before = server.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    answer = server.ask("POST", RESERVE, {"qty": 1})
    assert answer.json()["remaining"] == STOCK - 6
    server.wait_workers(3, without=before)


# A worker that dies at once, again and again, comes back later and later, and yet comes back.
def test_backoff(start):
    server = start(WORKERS=1)
    # the keeper and the reader
    known, gaps = set(children(server.master_pid)) - set(server.wait_workers(1)), []
    for _ in range(7):
        (victim,) = server.wait_workers(1, without=known)
        known.add(victim)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        eventually(lambda: set(children(server.master_pid)) - known, "a new worker", step_s=0.002)
        gaps.append(time.monotonic() - killed)
    assert gaps[-1] > 0.2, gaps
    assert gaps[-1] > 2 * gaps[0], gaps
    assert sum(gaps[4:]) > sum(gaps[:3]), gaps
    assert max(gaps) < 35, gaps
    assert server.ask("POST", RESERVE, {"qty": 1}).status == 200
    deaths = [entry for entry in server.log if entry["level"] == "WARNING"]
    assert len([e for e in deaths if any(re.search(rf"\b{pid}\b", e["message"]) for pid in known)]) >= 7


# One worker's deaths do not delay the first restart of another one.
def test_backoff_is_of_one_worker(start):
    server = start(WORKERS=2)
    slots = {text: pid for pid, text in server.workers().items()}
    bad, good = sorted(slots)
    for _ in range(5):
        victim = eventually(lambda: [p for p, t in server.workers().items() if t == bad], "the bad worker")[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not alive(victim), "its death")
    since = time.monotonic()
    os.kill(slots[good], signal.SIGKILL)
    eventually(lambda: [p for p, t in server.workers().items() if t == good and p != slots[good]], "the good worker")
    assert time.monotonic() - since < 0.5 + SLACK_S


# SIGTERM while a worker waits for its restart still ends at once.
def test_stop_during_backoff(start):
    server = start(WORKERS=1)
    known = set()
    for _ in range(6):
        (victim,) = server.wait_workers(1, without=known)
        known.add(victim)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not alive(victim), "its death")
    since = time.monotonic()
    server.stop()
    assert time.monotonic() - since < 1 + SLACK_S


# The children of a killed master die with it, and the port is free again.
def test_parent_death(start):
    server = start(WORKERS=3)
    ports = server.ports()
    idle = server.connect()
    assert idle.ask("GET", AVAILABLE).status == 200
    os.kill(server.master_pid, signal.SIGKILL)
    assert server.wait_exit() == -signal.SIGKILL
    server.assert_gone(deadline_s=5 * SLOW)
    idle.close()
    again = start(WORKERS=1, **ports)
    assert again.ports() == ports
    assert again.ask("POST", RESERVE, {"qty": 1}).status == 200


# ... also when it dies while its workers are at work.
def test_parent_death_under_load(start):
    server = start(WORKERS=3)
    with Load(server, connections=8) as load:
        load.wait_answers(100)
        os.kill(server.master_pid, signal.SIGKILL)
        assert server.wait_exit() == -signal.SIGKILL
        server.assert_gone(deadline_s=5 * SLOW)
    assert not load.wrong


# Signals that are not for it, sent to a worker by a person who mistook the pid, do no lasting harm.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1])
def test_signal_to_a_worker(start, number):
    server = start(WORKERS=2)
    victim = sorted(server.workers())[0]
    os.kill(victim, number)
    with Load(server, connections=4, keepalive=False) as load:
        load.wait_answers(100)
    server.wait_workers(2)
    assert not load.failures, load.failures[:3]


# A worker holds nothing of its master but what it needs: no descriptor leaks into it at each restart.
def test_no_descriptor_leaks(start):
    server = start(WORKERS=1)
    def descriptors():
        (pid,) = server.wait_workers(1)
        assert server.ask("GET", AVAILABLE).status == 200
        return pid, len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{server.master_pid}/fd"))
    first = descriptors()
    pid = first[0]
    for _ in range(3):
        os.kill(pid, signal.SIGKILL)
        (pid,) = server.wait_workers(1, without=[pid])
    eventually(lambda: descriptors()[1:] <= first[1:], "no more descriptors than at first")


# The whole tree is what we see: nothing else was started.
def test_tree(start):
    server = start(WORKERS=2)
    assert set(session_members(server.master_pid)) == {server.master_pid, *children(server.master_pid)}
    assert set(server.workers()) <= set(children(server.master_pid))
