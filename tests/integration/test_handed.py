"""Sockets that a service manager opened and handed over, by name (systemd-socket-activate)."""

import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from harness import AVAILABLE, PURCHASE, Address, Client, eventually, free_port, run, start_time
from surroundings import wrapper

PROGRAM = shutil.which("systemd-socket-activate")
EX_CONFIG = 78

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no systemd-socket-activate here (Debian: systemd)")

MONOLITH = {"DEPLOYMENT_MODE": "monolith"}


def handed(start, sockets, wake=None, **settings):
    """A server that finds these sockets, (name, address) each.  It is started by a connection, to the first one unless
    `wake` is another address."""
    binary = os.environ["TICKETD"]
    arguments = [argument for _, address in sockets for argument in ("-l", address)]
    # it passes on only what it is told to
    settings = {"HOST": "127.0.0.1", "MONOLITH_PORT": 0, "TICKET_PORT": 0, "VACANCY_PORT": 0, "RELOAD": "false",
                "JSON_LOGS": "true", "ENVIRONMENT": "test", "WORKERS": 1, "VACANCY_WORKERS": 1, "TICKET_WORKERS": 1,
                **MONOLITH, **settings}
    for name, value in settings.items():
        arguments += ["-E", f"{name}={value}"]
    arguments += ["--fdname=" + ":".join(name for name, _ in sockets), os.path.abspath(binary)]
    server = start(ready=False, program=PROGRAM, arguments=arguments, SYSTEMD_LOG_LEVEL="err", **settings)
    address = wake or sockets[0][1]
    url = f"unix:{address}" if address.startswith("/") else f"http://{address}"

    def connected():
        try:
            Client(url).close()
            return True
        except OSError:
            return False
    eventually(connected, "systemd-socket-activate listens")
    return server


def local(port=None):
    return f"127.0.0.1:{port or free_port()}"


def listeners(server):
    return [re.sub("^listening on ", "", e["message"]) for e in server.log if e["message"].startswith("listening on")]


# A socket of the pool's name is its listener; address and port of the settings are not used, and one line says so.
def test_pool(start):
    address, unused = local(), free_port()
    server = handed(start, [("monolith", address)], MONOLITH_PORT=unused)
    server.wait_ready()
    with Client(f"http://{address}") as client:
        assert client.ask("GET", AVAILABLE).json() == {"qty": 1000}
    assert listeners(server) == [f"http://{address}"]
    (line,) = [e for e in server.log if "service manager" in e["message"]]
    assert "HOST and MONOLITH_PORT are not used" in line["message"]
    with pytest.raises(ConnectionRefusedError):
        Client(f"http://127.0.0.1:{unused}")


# Several sockets of one name are one pool's, of every family.
def test_several(start, tmp_path):
    addresses = [local(), f"[::1]:{free_port('::1')}", str(tmp_path / "http.sock")]
    server = handed(start, [("monolith", address) for address in addresses])
    server.wait_ready()
    urls = [f"http://{addresses[0]}", f"http://{addresses[1]}", f"unix:{addresses[2]}"]
    assert sorted(listeners(server)) == sorted(urls)
    for url in urls:
        with Client(url) as client:
            assert client.ask("GET", AVAILABLE).status == 200


# A socket of both families, as a socket unit makes it, shows each client by the address that it has.
def test_both_families(start):
    port = free_port("127.0.0.1", "::1")
    server = handed(start, [("monolith", f"[::]:{port}")], wake=f"127.0.0.1:{port}", ACCESS_LOG="true")
    server.wait_ready()
    for host in ("127.0.0.1", "[::1]"):
        with Client(f"http://{host}:{port}") as client:
            assert client.ask("GET", AVAILABLE).status == 200
            own = client.sock.getsockname()[1]
        wanted = f"{host}:{own}"
        server.wait_log(lambda entry, wanted=wanted: entry.get("remote") == wanted)


# A reload and the death of a worker leave them as they are; a stop leaves the file of a unix socket, which is not ours.
def test_life(start, tmp_path):
    path = tmp_path / "http.sock"
    server = handed(start, [("monolith", str(path))])
    server.wait_ready()
    inode, since = path.stat().st_ino, server.mark()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", since)
    os.kill(*server.wait_workers(1), signal.SIGKILL)
    with Client(f"unix:{path}") as client:
        assert client.ask("GET", AVAILABLE).status == 200
    server.stop()
    assert path.stat().st_ino == inode


RECEIVE = """
import socket
with socket.socket(socket.AF_UNIX) as manager:
    manager.connect({path!r})
    (fd,) = socket.recv_fds(manager, 1, 1)[1]
os.dup2(fd, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="monolith")
"""


# A stop leaves a TCP socket as open to new clients as it was: they wait for the next server.
def test_stop_lets_clients_in(start, tmp_path):
    path = str(tmp_path / "manager")
    program = wrapper(tmp_path, RECEIVE.format(path=path))
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as manager:
        manager.bind(path)
        manager.listen()
        server = start(ready=False, program=program, **MONOLITH)
        with manager.accept()[0] as receiver:
            socket.send_fds(receiver, [b"-"], [listener.fileno()])
        server.wait_ready()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert listeners(server) == [url]
        with Client(url) as client:
            assert client.ask("GET", AVAILABLE).status == 200
        server.stop()
        with Client(url) as client, listener.accept()[0] as accepted:
            assert accepted.getpeername() == client.sock.getsockname()


# Each of two pools gets its own by name, whatever their order, and the ticket pool finds the other one.
def test_two_pools(start):
    vacancy, ticket = local(), local()
    server = handed(start, [("ticket", ticket), ("vacancy", vacancy)], DEPLOYMENT_MODE="microservices")
    server.wait_ready()
    assert sorted(listeners(server)) == sorted([f"http://{vacancy} (vacancy)", f"http://{ticket} (ticket)"])
    server.wait_log(f"the vacancy pool is http://{vacancy}")
    with Client(f"http://{ticket}") as client:
        assert client.ask("POST", PURCHASE, {"qty": 3}).json()["remaining"] == 997
    with Client(f"http://{vacancy}") as client:
        assert client.ask("GET", AVAILABLE).json() == {"qty": 997}


# The ticket pool finds it by a unix socket, too.
def test_two_pools_unix(start, tmp_path):
    vacancy, ticket = str(tmp_path / "vacancy.sock"), local()
    server = handed(start, [("ticket", ticket), ("vacancy", vacancy)], DEPLOYMENT_MODE="microservices")
    server.wait_log(f"the vacancy pool is unix:{vacancy}")
    with Client(f"http://{ticket}") as client:
        assert client.ask("POST", PURCHASE, {"qty": 1}).status == 200


# A pool for which none was handed over listens where its settings say.
def test_one_of_two_pools(start):
    ticket, vacancy = local(), free_port()
    server = handed(start, [("ticket", ticket)], DEPLOYMENT_MODE="microservices", VACANCY_PORT=vacancy)
    server.wait_ready()
    assert sorted(listeners(server)) == sorted([f"http://127.0.0.1:{vacancy} (vacancy)", f"http://{ticket} (ticket)"])
    assert len([e for e in server.log if "service manager" in e["message"]]) == 1


# The site of ticketctl, by its name.
def test_control(start, tmp_path):
    control, address = tmp_path / "control.sock", local()
    server = handed(start, [("monolith", address), ("control", str(control))])
    server.wait_ready()
    told = run("status", settings={**MONOLITH, "CONTROL_SOCKET": control}, program=os.environ["TICKETCTL"],
               directory=server.directory)
    assert str(server.master_pid) in told.stdout, told
    assert not list(server.directory.glob("var/*.control"))
    server.stop()
    assert control.exists()


# A restart in place keeps all of them, at the same numbers.
def test_restart_in_place(start, tmp_path):
    control, address = tmp_path / "control.sock", local()
    # ./.env of its working directory is what it watches
    server = handed(start, [("monolith", address), ("control", str(control))], RELOAD="true", ENVIRONMENT="development",
                    WORKERS=1)
    server.wait_ready()
    with Client(f"http://{address}") as client:
        assert client.ask("GET", AVAILABLE).json() == {"qty": 1000}
    master, since = start_time(server.master_pid), server.mark()
    new = server.directory / "new"
    new.write_text("CACHE_TTL_SECONDS=8\n")
    os.replace(new, server.directory / ".env")
    server.wait_ready(since)
    assert start_time(server.master_pid) == master
    with Client(f"http://{address}") as client:
        assert client.ask("GET", AVAILABLE)["Cache-Control"].endswith("max-age=8")
    with Client(f"unix:{control}") as client:
        assert client.ask("GET", "/control/v1/status").status == 200


# ---------------------------------------------------------------- mistakes


def refused(server):
    """The one line that says why it does not start."""
    assert server.wait_exit() == EX_CONFIG
    (line,) = server.wait_log(lambda entry: entry["level"] == "CRITICAL")
    return line["message"]


# A socket that nobody here would serve is a mistake: its clients would wait for ever.
@pytest.mark.parametrize("name", ["ticket", "unknown", "Monolith", ""])
def test_unknown_name(start, name):
    address = local()
    told = refused(handed(start, [("monolith", address), (name or "x.socket", local())]))
    assert f'"{name or "x.socket"}"' in told and "FileDescriptorName" in told


# The control site is for who may open a file: a port would be for everybody.
def test_control_by_port(start):
    assert "one unix socket" in refused(handed(start, [("control", local()), ("monolith", local())]))


# A socket of datagrams has nobody to accept.
def test_datagrams():
    address = Address("http://" + local())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(address.target)
        told = _run_with(sock)
    assert told.returncode == EX_CONFIG and "ListenStream" in told.stderr


# A connection that was accepted already (Accept=yes) is no listener.
def test_connection():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                told = _run_with(accepted)
    assert told.returncode == EX_CONFIG and "Accept" in told.stderr


def _run_with(sock):
    """Runs the binary with that socket as the one that was handed over: descriptor 3."""
    number = sock.fileno()
    move = f"exec 3<&{number}-; " if number != 3 else ""
    command = ["bash", "-c", move + 'LISTEN_PID=$$ exec "$@"', "bash", os.path.abspath(os.environ["TICKETD"])]
    return subprocess.run(command, pass_fds=[number],
                          env={**MONOLITH, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "monolith", "PATH": os.environ["PATH"]},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False)


# What was meant for another process is left alone.
def test_of_another_process():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = run(settings={**MONOLITH, "HOST": "127.0.0.1", "MONOLITH_PORT": taken.getsockname()[1], "LISTEN_FDS": 1,
                             "LISTEN_PID": 1, "LISTEN_FDNAMES": "monolith"})
    # it tries to listen by itself, where somebody sits already
    assert done.returncode == 1 and "cannot listen" in done.stderr
