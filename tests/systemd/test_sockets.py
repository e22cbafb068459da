"""The socket units: connections start the service, and wait for it while it does not run."""

import socket
import subprocess

import pytest

from harness import AVAILABLE, Client, eventually, request_bytes
from unit import POOLS


def only_socket(unit):
    unit.manager.run("systemctl", "start", unit.socket)
    assert (unit.state, unit.show("ActiveState", unit.socket)) == ("inactive", "active")


# The first connection starts the service, and is served; the log says who opened the listener.
@pytest.mark.parametrize("pool", POOLS)
def test_first_connection(units, pool):
    unit = units[pool]
    only_socket(unit)
    assert unit.ask("GET", "/health").status == 200
    unit.wait_state("active")
    assert len(unit.wait_journal(f"the service manager opened the listeners of the {pool} pool")) == 1


# A service that was stopped while its socket was not is started again by the next client, with all it sold.
def test_after_stop(monolith):
    only_socket(monolith)
    order = monolith.buy()
    monolith.systemctl("stop")
    assert monolith.order_status(order) == "confirmed"


# Operators who stop and start again and again still have the socket, which keeps clients through the next restart.
def test_started_often(units):
    unit = units["vacancy"]
    # which wants the other, so that systemd does not forget how often that was started
    units["ticket"].start()
    for _ in range(7):
        unit.start()
        unit.stop()
    unit.start()
    assert unit.show("ActiveState", unit.socket) == "active"


# A connection that is made between two lives of the service is served by the second one.
def test_between_two_lives(monolith):
    monolith.start()
    monolith.drop_in("[Service]\nExecStartPre=/bin/sleep 0.5\n")
    monolith.systemctl("restart", "--no-block")
    eventually(lambda: not any(t.startswith("ticketd") for t in monolith.processes().values()), "the first one ends")
    with Client(monolith.address) as client:
        client.send(request_bytes("GET", AVAILABLE))
        assert client.answer().status == 200


# The monolith and the ticket pool are reached by IPv4 and IPv6, the vacancy pool on the loopback alone.
def test_addresses(units):
    for unit in units.values():
        only_socket(unit)
    listening = units["monolith"].manager.run("ss", "-Hltn").stdout
    found = {row.split()[3] for row in listening.splitlines()}
    assert found == {"*:8000", "*:8002", "127.0.0.1:8001", "[::1]:8001"}
    for unit in units.values():
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, unit.address.port)).close()


# Without its socket unit the service listens where its settings say.
def test_without_socket_unit(monolith):
    monolith.manager.run("systemctl", "mask", "--quiet", monolith.socket)
    monolith.configure(HOST="127.0.0.1", MONOLITH_PORT="8000")
    monolith.start()
    assert monolith.is_ready()
    assert not any("service manager" in (entry["MESSAGE"] or "") for entry in monolith.journal())


# Another port for the socket unit is another port for the service: nothing else has to change.
def test_another_port(monolith):
    monolith.drop_in("[Socket]\nListenStream=\nListenStream=127.0.0.1:9000\nListenStream=/run/ticket-test.sock\n",
                     monolith.socket)
    monolith.start()
    for address in ("http://127.0.0.1:9000", f"unix:{monolith.manager.root}/run/ticket-test.sock"):
        with Client(address) as client:
            assert client.ask("GET", AVAILABLE).json() == {"qty": 1000}
    with pytest.raises(ConnectionRefusedError):
        Client(monolith.address)
    monolith.systemctl("stop")
    # the socket is systemd's: the service has not taken its file away
    assert (monolith.manager.root / "run/ticket-test.sock").is_socket()
