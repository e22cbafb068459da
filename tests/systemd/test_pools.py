"""The vacancy pool and the ticket pool as two services: each on its own, in either order, and when one of them goes."""

import re

import pytest

from harness import AVAILABLE, PURCHASE, Client, assert_problem, eventually
from unit import buyers


@pytest.fixture
def vacancy(units):
    return units["vacancy"]


@pytest.fixture
def ticket(units):
    return units["ticket"]


@pytest.fixture
def elsewhere(vacancy):
    """The vacancy pool is on another machine: its units are masked here. Returns what undoes that."""
    names = (vacancy.socket, vacancy.service)
    vacancy.manager.run("systemctl", "mask", "--quiet", *names)
    return lambda: vacancy.manager.run("systemctl", "unmask", "--quiet", *names)


def sell(ticket):
    """An order, or None: not yet."""
    answer = ticket.ask("POST", PURCHASE, {"qty": 1})
    return answer.json()["order_id"] if answer.status == 200 else None


# The vacancy pool needs nobody.
def test_vacancy_alone(vacancy, ticket):
    vacancy.start()
    assert vacancy.is_ready() and vacancy.available() == 1000
    assert vacancy.order_status(vacancy.buy()) == "confirmed"
    assert ticket.state == "inactive"


# The ticket pool starts without the other one, says to clients that it is not ready, and sells as soon as it can.
def test_ticket_alone_then_vacancy(vacancy, ticket, elsewhere):
    ticket.start()
    assert ticket.state == "active" and not ticket.is_ready()
    refused = ticket.ask("POST", PURCHASE, {"qty": 1})
    assert_problem(refused, 503, "vacancy_unavailable")
    assert refused["Retry-After"]
    elsewhere()
    vacancy.start()
    eventually(ticket.is_ready, "the ticket pool is ready")
    order = eventually(lambda: sell(ticket), "it sells")
    assert vacancy.order_status(order) == "confirmed"
    assert (vacancy.available(), ticket.restarts) == (999, 0)


# Starting the ticket pool starts the vacancy pool of the same machine, too.
def test_ticket_wants_vacancy(vacancy, ticket):
    ticket.start()
    vacancy.wait_state("active")
    eventually(ticket.is_ready, "the ticket pool is ready")
    assert ticket.buy()


# In the other order it is the same.
def test_vacancy_then_ticket(vacancy, ticket):
    vacancy.start()
    ticket.start()
    eventually(ticket.is_ready, "the ticket pool is ready")
    assert ticket.order_status(ticket.buy()) == "confirmed"


# The public's pool runs as a user of its own, which may not even look at the ledger or at who serves it.
def test_ticket_is_apart(vacancy, ticket):
    vacancy.start()
    ticket.start()

    def user(unit):
        status = unit.manager.run("cat", f"/proc/{unit.main_pid}/status").stdout
        return re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)[1]
    owner = vacancy.manager.run("id", "-u", "ticketd").stdout.strip()
    assert user(vacancy) == owner and user(ticket) not in (owner, "0")
    inside = ["nsenter", "-t", str(ticket.main_pid), "-m", "--setuid", user(ticket), "--setgid", user(ticket)]
    for path in ("/var/lib/ticketd/ledger.db", f"/proc/{vacancy.main_pid}/status"):
        assert ticket.manager.run(*inside, "cat", path, check=False).returncode != 0


# A ticket pool that is restarted under load refuses nothing.
@pytest.mark.parametrize("keepalive", [True, False], ids=["keepalive", "new connections"])
def test_restart_ticket_under_load(vacancy, ticket, keepalive):
    vacancy.setting(INITIAL_STOCK=1000000)
    vacancy.start()
    ticket.start()
    eventually(ticket.is_ready, "the ticket pool is ready")
    with buyers(ticket, keepalive=keepalive) as load:
        load.wait_answers(100)
        ticket.systemctl("restart")
        load.wait_answers(100)
    print(f"restart of the ticket pool: {load.answered} answers, {len(load.failures)} failed, "
          f"longest time that a client went without one {load.longest_gap_s * 1000:.0f} ms")
    assert not load.failures, load.failures[:5]
    assert vacancy.available() == 1000000 - load.sold


# A vacancy pool that is restarted under load loses no order: what the ticket pool sold is what is missing.
def test_restart_vacancy_under_load(vacancy, ticket):
    vacancy.setting(INITIAL_STOCK=1000000)
    vacancy.start()
    ticket.start()
    eventually(ticket.is_ready, "the ticket pool is ready")
    with buyers(ticket) as load:
        load.wait_answers(100)
        vacancy.systemctl("restart")
        load.wait_answers(100)
        eventually(ticket.is_ready, "the ticket pool is ready again")
    print(f"restart of the vacancy pool: {load.answered} answers, {len(load.failures)} failed, "
          f"longest time that a client went without one {load.longest_gap_s * 1000:.0f} ms")
    assert not load.failures, load.failures[:5]
    assert (vacancy.available(), ticket.restarts) == (1000000 - load.sold, 0)


# The death of the vacancy pool's master is survived by both: systemd brings it back, the ticket pool was never gone.
def test_kill_vacancy_master(vacancy, ticket):
    vacancy.start()
    ticket.start()
    eventually(ticket.is_ready, "the ticket pool is ready")
    order, processes = ticket.buy(), ticket.processes()
    vacancy.kill(vacancy.main_pid)
    eventually(lambda: vacancy.restarts == 1 and ticket.is_ready(), "both are ready again")
    eventually(lambda: ticket.order_status(order) == "confirmed", "the order is found")
    eventually(lambda: sell(ticket), "it sells again")
    assert ticket.processes() == processes


# One stops without the other, and the vacancy pool is not pulled along.
def test_stop_ticket(vacancy, ticket):
    vacancy.start()
    ticket.start()
    ticket.stop()
    assert (ticket.show("Result"), vacancy.state) == ("success", "active")
    with Client(vacancy.address) as client:
        assert client.ask("GET", AVAILABLE).status == 200


# Each reloads by itself.
@pytest.mark.parametrize("pool", ["vacancy", "ticket"])
def test_reload(units, pool):
    unit = units[pool]
    unit.start()
    before = {p: t for p, t in unit.processes().items() if "worker" in t}
    unit.systemctl("reload")
    after = {p: t for p, t in unit.processes().items() if "worker" in t}
    assert len(set(after) - set(before)) == len(before)
