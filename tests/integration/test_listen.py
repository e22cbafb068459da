"""Where the server listens: IPv4, IPv6, both by one name, local sockets; and what is taken already."""

import os
import signal
import socket
import stat

import pytest

from harness import ALONE, AVAILABLE, RESERVE, STOCK_PORT, Client, alone, eventually, free_port, has_ipv6, run


# One pool, so that every address is its own.
@pytest.fixture(name="start")
def start_one_pool(start):
    return alone(start)


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


def ask_at(address):
    with Client(address) as client:
        answer = client.ask("GET", AVAILABLE)
        assert answer.status == 200
        return answer.json()["qty"]


def families(server):
    return sorted(address.family.name for address, _ in server.addresses)


# Port 0 lets the kernel choose, and the log tells the port that was chosen.
def test_port_0(start):
    server = start(HOST="127.0.0.1", **{STOCK_PORT: 0})
    (address, _), = server.addresses
    assert address.port > 0
    assert address.url == f"http://127.0.0.1:{address.port}"
    ask_at(address)


# A fixed port is the port.
def test_fixed_port(start):
    port = free_port()
    server = start(HOST="127.0.0.1", **{STOCK_PORT: port})
    assert server.vacancy_url == f"http://127.0.0.1:{port}"


# A list is listened on in full, and it is one stock.
@needs_ipv6
@pytest.mark.parametrize("host", ["127.0.0.1,::1", "127.0.0.1, ::1", "127.0.0.1,[::1]"])
def test_list(start, host):
    server = start(HOST=host)
    assert families(server) == ["AF_INET", "AF_INET6"]
    before = server.available()
    for address, _ in server.addresses:
        with Client(address) as client:
            before -= 1
            assert client.ask("POST", RESERVE, {"qty": 1}).json()["remaining"] == before


# IPv6 alone is no IPv4.
@needs_ipv6
def test_ipv6_only(start):
    port = free_port("127.0.0.1", "::1")
    with socket.socket(socket.AF_INET) as sock:
        # kept from whoever else takes ports here; nobody listens there, unless the server does
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        server = start(HOST="::1", **{STOCK_PORT: port})
        (address, _), = server.addresses
        assert address.url == f"http://[::1]:{port}"
        ask_at(address)
        with pytest.raises(ConnectionRefusedError):
            Client(f"http://127.0.0.1:{port}")


# The name localhost and each wildcard cover both families, on one port.
@needs_ipv6
@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::"])
def test_both_families(start, host):
    port = free_port("127.0.0.1", "::1")
    start(HOST=host, **{STOCK_PORT: port})
    ask_at(f"http://127.0.0.1:{port}")
    ask_at(f"http://[::1]:{port}")


# The same with port 0: clients of a name know one port only.
@needs_ipv6
@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::"])
def test_both_families_port_0(start, host):
    server = start(HOST=host, **{STOCK_PORT: 0})
    ports = {address.port for address, _ in server.addresses}
    assert len(ports) == 1, [address.url for address, _ in server.addresses]
    ask_at(f"http://127.0.0.1:{ports.copy().pop()}")
    ask_at(f"http://[::1]:{ports.pop()}")


# The same address twice in a list is a slip of the pen, and is said to be one.
def test_same_address_twice():
    done = run(settings={**ALONE, "HOST": "127.0.0.1,127.0.0.1", STOCK_PORT: free_port()})
    assert done.returncode == 78
    assert "HOST" in done.stderr and "127.0.0.1" in done.stderr


# Addresses of which one covers the other (by a name) are one address.
@needs_ipv6
@pytest.mark.parametrize("host", ["localhost,127.0.0.1", "::1,localhost", "0.0.0.0,::"])
def test_overlapping_addresses(start, host):
    server = start(HOST=host, **{STOCK_PORT: free_port("127.0.0.1", "::1")})
    assert families(server) == ["AF_INET", "AF_INET6"]


def assert_one_complaint(done, name):
    """One line tells of the failure, and it names the address."""
    lines = [line for line in done.stderr.splitlines() if "CRITICAL" in line or "ERROR" in line]
    assert len(lines) == 1 and name in lines[0], done.stderr


# A port that is taken is an error that names the address, once, and exit code 1.
@pytest.mark.parametrize("json_logs", ["true", "false"])
def test_port_taken(json_logs):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(settings={**ALONE, "HOST": "127.0.0.1", STOCK_PORT: port, "JSON_LOGS": json_logs})
    assert done.returncode == 1, done
    assert_one_complaint(done, f"127.0.0.1:{port}")


# The port of a second server is taken as well: two masters never share a listener by accident.
def test_two_servers(start):
    first = start()
    done = run(settings={**ALONE, "HOST": "127.0.0.1", STOCK_PORT: first.vacancy_address.port})
    assert done.returncode == 1
    ask_at(first.vacancy_address)


# A list of which one address is taken is an error: half a service is none.
@needs_ipv6
def test_one_of_two_taken():
    port = free_port("127.0.0.1", "::1")
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::1", port))
        taken.listen()
        done = run(settings={**ALONE, "HOST": "127.0.0.1,::1", STOCK_PORT: port})
    assert done.returncode == 1
    assert_one_complaint(done, f"[::1]:{port}")


# An address of another machine cannot be bound: the same kind of error.
def test_foreign_address():
    done = run(settings={**ALONE, "HOST": "203.0.113.1", STOCK_PORT: free_port()})
    assert done.returncode == 1
    assert_one_complaint(done, "203.0.113.1")


# A port is free for the next server at once, whatever connections linger in the kernel.
def test_port_is_free_after_stop(start):
    first = start()
    port = first.vacancy_address.port
    clients = [first.connect() for _ in range(5)]
    for client in clients:
        assert client.ask("GET", AVAILABLE).status == 200
    first.stop()
    second = start(**{STOCK_PORT: port})
    ask_at(second.vacancy_address)
    for client in clients:
        client.close()


# ---------------------------------------------------------------- local sockets



# A local socket serves like a port, and its file is gone after the stop.
def test_unix(start, tmp_path_factory):
    path = _path(tmp_path_factory)
    server = start(HOST=f"unix:{path}")
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    server.wait_log(rf"listening on .*unix:{path}")
    assert ask_at(f"unix:{path}") == 1000000
    with Client(f"unix:{path}") as client:
        for left in (999999, 999998):
            assert client.ask("POST", RESERVE, {"qty": 1}).json()["remaining"] == left
    server.stop()
    assert not os.path.exists(path)


def _path(tmp_path_factory):
    """Short: the kernel takes 107 bytes."""
    return str(tmp_path_factory.mktemp("u") / "s")


# Both kinds at once are one stock.
def test_unix_and_tcp(start, tmp_path_factory):
    path = _path(tmp_path_factory)
    server = start(HOST=f"127.0.0.1,unix:{path}")
    tcp = [address for address, _ in server.addresses if address.family == socket.AF_INET][0]
    with Client(f"unix:{path}") as client:
        assert client.ask("POST", RESERVE, {"qty": 3}).json()["remaining"] == 999997
    assert ask_at(tcp) == 999997


# The file of a dead server is replaced.
def test_unix_stale(start, tmp_path_factory):
    path = _path(tmp_path_factory)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    server = start(HOST=f"unix:{path}")
    ask_at(f"unix:{path}")
    server.stop()
    assert not os.path.exists(path)


# ... also when the dead server was one of ours, killed.
def test_unix_after_kill(start, tmp_path_factory):
    path = _path(tmp_path_factory)
    first = start(HOST=f"unix:{path}")
    os.kill(first.master_pid, signal.SIGKILL)
    first.wait_exit()
    first.assert_gone()
    assert os.path.exists(path)
    start(HOST=f"unix:{path}")
    ask_at(f"unix:{path}")


# The socket of a living server is not taken from it: the newcomer fails, the old one goes on.
def test_unix_live(start, tmp_path_factory):
    path = _path(tmp_path_factory)
    server = start(HOST=f"unix:{path}")
    done = run(settings={**ALONE, "HOST": f"unix:{path}"})
    assert done.returncode == 1
    assert_one_complaint(done, path)
    ask_at(f"unix:{path}")
    eventually(lambda: server.workers(), "the workers")


# A file that is no socket is somebody's data: an error, and the file is left alone.
def test_unix_path_is_a_file(tmp_path_factory):
    path = _path(tmp_path_factory)
    with open(path, "w", encoding="ascii") as file:
        file.write("precious")
    done = run(settings={**ALONE, "HOST": f"unix:{path}"})
    assert done.returncode == 1
    assert_one_complaint(done, path)
    with open(path, encoding="ascii") as file:
        assert file.read() == "precious"


# A folder that does not exist is an error that names the path.
def test_unix_no_folder():
    done = run(settings={**ALONE, "HOST": "unix:/nonexistent/s"})
    assert done.returncode == 1
    assert_one_complaint(done, "/nonexistent/s")


# A path longer than the kernel takes is a wrong setting, not one cut short.
def test_unix_too_long(tmp_path):
    path = tmp_path / ("x" * 120)
    done = run(settings={**ALONE, "HOST": f"unix:{path}"})
    assert done.returncode in (1, 78)
    assert "HOST" in done.stderr or str(path) in done.stderr
    assert not os.listdir(tmp_path)


# A reload keeps the file; a client that connects meanwhile is served.
def test_unix_reload(start, tmp_path_factory):
    path = _path(tmp_path_factory)
    server = start(HOST=f"unix:{path}")
    inode = os.stat(path).st_ino
    since = server.mark()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", since)
    assert os.stat(path).st_ino == inode
    ask_at(f"unix:{path}")
