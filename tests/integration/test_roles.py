"""Two pools: both under one master, one each under two, one alone.  Who has what, who goes first."""

import contextlib
import json
import os
import re
import signal
import socket
import threading

import pytest

import harness
from durability import keeper, paused, reader
from harness import (ANY_POOL, AVAILABLE, DEADLINE_S, PURCHASE, RESERVE, SLACK_S, Address, Client, alive, children, eventually,
                     has_ipv6, replace, request_bytes, run, start_time, stays, title)
from surroundings import preload, wrapper

EX_UNAVAILABLE, EX_CONFIG = 69, 78
POOLS = ("vacancy", "ticket")
MODE = {"DEPLOYMENT_MODE": "microservices", "WORKERS": None}


# ---------------------------------------------------------------- helpers


def both(start, **settings):
    return start(**{**MODE, "VACANCY_WORKERS": 2, "TICKET_WORKERS": 2, **settings})


def vacancy_alone(start, **settings):
    return start(**{**MODE, "SERVICES": "vacancy", "VACANCY_WORKERS": 2, **settings})


def ticket_alone(start, **settings):
    settings.setdefault("VACANCY_URL", f"http://127.0.0.1:{harness.free_port()}")
    return start(**{**MODE, "SERVICES": "ticket", "TICKET_WORKERS": 2, **settings})


def at(server, pool):
    """The first address of a pool, as the log's last start told it."""
    told = [re.search(r"listening on (\S+) \((\w+)\)", entry["message"]) for entry in server.log]
    found = [match[1] for match in told if match and match[2] == pool]
    assert found, f"no listener of {pool}:\n{server.log_text()}"
    return Address(found[-1])


def ask(server, pool, method, path, body=None, headers=()):
    with Client(at(server, pool)) as client:
        return client.ask(method, path, body, headers)


def workers(server, pool):
    """The pids of a pool's workers."""
    return sorted(server.workers(pool))


def buy(server, quantity=1, pool="ticket"):
    answer = ask(server, pool, "POST", PURCHASE if pool == "ticket" else RESERVE, {"qty": quantity})
    assert answer.status == 200 and answer.json()["success"], answer
    return answer.json()


def maps(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        return file.read()


def descriptors(pid):
    """What each open descriptor of a process is; an eventfd by the number that the kernel gave it."""
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{number}")
            if target == "anon_inode:[eventfd]":
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
                    target = re.search(r"^eventfd-id:\s*\d+", file.read(), re.MULTILINE)[0]
            found.append(target)
    return set(found)


def bells(pid):
    return {what for what in descriptors(pid) if what.startswith("eventfd-id")}


def listening(port):
    """What /proc shows as the descriptor of each socket that listens on a TCP port."""
    found = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}", encoding="ascii") as file:
            rows = [line.split() for line in file.readlines()[1:]]
        found |= {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}
    assert found, f"nobody listens on {port}"
    return found


def listening_unix(path):
    with open("/proc/net/unix", encoding="utf-8") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    found = {f"socket:[{row[6]}]" for row in rows if len(row) > 7 and row[7] == str(path) and row[3] == "00010000"}
    assert found, f"nobody listens on {path}"
    return found


def ticketctl(server, *arguments, **more):
    """Runs ticketctl where and as the server was run."""
    settings = {k: v for k, v in server.settings.items() if k in ("DEPLOYMENT_MODE", "SERVICES")}
    return run(*arguments, settings={**settings, **more}, directory=server.directory, program=os.environ["TICKETCTL"])


def reload_and_wait(server):
    since = server.mark()
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", since)
    return since


# ---------------------------------------------------------------- one master, both pools


# This is the default: with no mode and no services set, both pools run and are ready together.
def test_both_by_default(start):
    server = start(DEPLOYMENT_MODE=None, WORKERS=None, VACANCY_WORKERS=1, TICKET_WORKERS=3)
    assert sorted(server.workers(ANY_POOL).values()) == [
        "ticketd: worker 0 (ticket)", "ticketd: worker 0 (vacancy)", "ticketd: worker 1 (ticket)",
        "ticketd: worker 2 (ticket)"]
    (line,) = server.wait_log("runs as")
    assert "vacancy with VACANCY_WORKERS=1 and ticket with TICKET_WORKERS=3" in line["message"]
    for pool in POOLS:
        assert ask(server, pool, "GET", "/health").json()["service"] == pool
        root = ask(server, pool, "GET", "/").json()
        assert (root["mode"], root["role"]) == ("microservices", pool)


# Each pool has one worker for each CPU unless told otherwise.
def test_workers_by_cpu(start):
    server = both(start, VACANCY_WORKERS=0, TICKET_WORKERS=0)
    for pool in POOLS:
        assert len(workers(server, pool)) == len(os.sched_getaffinity(0))


# A ticket sold by the ticket pool is gone from the vacancy pool's stock, whoever is asked.
def test_sells_through_both(start):
    server = both(start, INITIAL_STOCK=100)
    assert buy(server, 3)["remaining"] == 97
    assert buy(server, 2, "vacancy")["remaining"] == 95
    assert ask(server, "vacancy", "GET", AVAILABLE).json() == {"qty": 95}
    ready = ask(server, "ticket", "GET", "/ready")
    assert (ready.status, ready.json()["dependencies"]) == (200, {"vacancy": "healthy"})


# Each pool serves its own routes and not the other's.
def test_routes_of_each(start):
    server = both(start)
    assert ask(server, "vacancy", "POST", PURCHASE, {"qty": 1}).status == 404
    assert ask(server, "ticket", "POST", RESERVE, {"qty": 1}).status == 404
    assert ask(server, "ticket", "GET", AVAILABLE).status == 404


# The ticket pool finds the vacancy pool of its own master where that was really bound.
@pytest.mark.parametrize("host, found", [
    ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("127.0.0.2,::1", "127.0.0.2")])
def test_own_vacancy_url(start, host, found):
    if ":" in host and not has_ipv6():
        pytest.skip("no IPv6 here")
    server = both(start, HOST=host)
    (line,) = server.wait_log("the vacancy pool is")
    assert line["message"].endswith(f" http://{found}:{at(server, 'vacancy').port}")
    assert buy(server)["success"]


# A VACANCY_URL that is given is used, although the master has a vacancy pool of its own.
def test_given_vacancy_url(start):
    other = vacancy_alone(start, INITIAL_STOCK=7)
    server = both(start, INITIAL_STOCK=1000, VACANCY_URL=at(other, "vacancy").url)
    assert buy(server)["remaining"] == 6
    assert ask(server, "vacancy", "GET", AVAILABLE).json() == {"qty": 1000}


# ---------------------------------------------------------------- who has what


# A ticket worker has no way to the stock: neither its memory, nor the ledger, its lock or its log,
# nor a bell of the keeper, the reader or a vacancy worker.
@pytest.mark.parametrize("ledger", ["sqlite:", "memory:"])
def test_ticket_worker_has_no_stock(start, ledger):
    server = both(start, LEDGER_URL=ledger)
    owner = workers(server, "vacancy")[0]
    assert "ticketd-stock" in maps(owner), "this test looks for the wrong name"
    hold = [what for what in descriptors(owner) if "ledger" in what]
    assert hold, "this test looks for the wrong names"
    master_bell = bells(keeper(server)) & bells(server.master_pid) & bells(workers(server, "ticket")[0])
    assert len(master_bell) == 1
    for pid in workers(server, "ticket"):
        assert not re.search("ticketd-stock|ledger", maps(pid)), maps(pid)
        assert not [what for what in descriptors(pid) if re.search("ticketd-stock|ledger", what)], descriptors(pid)
        for owning in (keeper(server), reader(server), owner):
            assert bells(pid) & bells(owning) == master_bell


# ... also one that has taken the place of a dead one, and one that a reload has brought.
def test_later_ticket_workers_have_no_stock(start):
    server = both(start)
    first = workers(server, "ticket")
    os.kill(first[0], signal.SIGKILL)
    server.wait_workers(4, without=first[:1], pool=ANY_POOL)
    reload_and_wait(server)
    for pid in set(workers(server, "ticket")) - set(first):
        assert not re.search("ticketd-stock|ledger", maps(pid)), maps(pid)
        assert not [what for what in descriptors(pid) if "ledger" in what]


# Listeners are with the pool that serves them, and with nobody else: not with the other pool, not
# with the keeper or the reader.  The control socket is the vacancy pool's.
def test_listeners_of_each(start):
    server = both(start, HOST="127.0.0.1,::1" if has_ipv6() else "127.0.0.1")
    sockets = {pool: listening(at(server, pool).port) for pool in POOLS}
    control = listening_unix(server.directory / "var" / "ledger.db.control")
    everything = sockets["vacancy"] | sockets["ticket"] | control
    wanted = {pid: sockets["vacancy"] | control for pid in workers(server, "vacancy")}
    wanted |= {pid: sockets["ticket"] for pid in workers(server, "ticket")}
    wanted |= {keeper(server): set(), reader(server): set(), server.master_pid: everything}
    for pid, has in wanted.items():
        assert descriptors(pid) & everything == has, title(pid)


# Workers hold no more after deaths and reloads than at first.
def test_no_descriptor_leaks(start):
    server = both(start, VACANCY_WORKERS=1, TICKET_WORKERS=1)

    def count():
        pids = [server.master_pid] + [workers(server, pool)[0] for pool in POOLS]
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
    first = count()
    for pool in POOLS * 2:
        (victim,) = workers(server, pool)
        os.kill(victim, signal.SIGKILL)
        server.wait_workers(2, without=[victim], pool=ANY_POOL)
    reload_and_wait(server)
    server.wait_workers(2, pool=ANY_POOL)
    eventually(lambda: count() == first, "as many descriptors as at first")


# ---------------------------------------------------------------- one pool each


# Two masters: the ticket pool's sells what the vacancy pool's has.
def test_two_masters(start):
    vacancy = vacancy_alone(start, INITIAL_STOCK=10)
    ticket = ticket_alone(start, VACANCY_URL=at(vacancy, "vacancy").url)
    assert set(vacancy.workers(ANY_POOL).values()) == {"ticketd: worker 0 (vacancy)", "ticketd: worker 1 (vacancy)"}
    assert set(ticket.workers(ANY_POOL).values()) == {"ticketd: worker 0 (ticket)", "ticketd: worker 1 (ticket)"}
    assert buy(ticket, 4)["remaining"] == 6
    assert ask(vacancy, "vacancy", "GET", AVAILABLE).json() == {"qty": 6}


# A master with the vacancy pool alone may listen on a path, and be called there.
def test_two_masters_by_path(start, tmp_path):
    path = tmp_path / "vacancy.sock"
    vacancy = vacancy_alone(start, INITIAL_STOCK=10, HOST=f"unix:{path}")
    ticket = ticket_alone(start, VACANCY_URL=f"unix:{path}")
    assert buy(ticket)["remaining"] == 9
    assert ask(vacancy, "vacancy", "GET", AVAILABLE).json() == {"qty": 9}


# A ticket pool alone has no keeper, no reader, no stock and no ledger, and LEDGER_URL is nothing to it.
# It starts although nobody is at VACANCY_URL, and says so when asked.
def test_ticket_alone(start):
    server = ticket_alone(start, LEDGER_URL="nonsense:", INITIAL_STOCK=0)
    assert sorted(children(server.master_pid)) == workers(server, "ticket")
    for pid in (server.master_pid, *workers(server, "ticket")):
        assert not re.search("ticketd-stock|ledger", maps(pid))
        assert not [what for what in descriptors(pid) if "ledger" in what]
    assert os.listdir(server.directory) == ["var"]
    assert os.listdir(server.directory / "var") == ["ticket.control"]
    assert ask(server, "ticket", "GET", "/health").status == 200
    assert ask(server, "ticket", "GET", "/ready").status == 503
    refused = ask(server, "ticket", "POST", PURCHASE, {"qty": 1})
    assert (refused.status, refused.json()["code"]) == (503, "vacancy_unavailable")
    server.stop()


# ticketctl finds a ticket pool alone by the settings that ticketd was run with, reloads it, and says
# why it cannot tell of a stock.
def test_ticketctl_of_ticket_alone(start):
    server = ticket_alone(start)
    told = ticketctl(server, "status", "--json")
    assert told.returncode == 0, told.stderr
    status = json.loads(told.stdout)
    assert (status["role"], status["master_pid"]) == ("ticket", server.master_pid)
    assert status["keeper"] == {"state": "absent", "lag": 0}
    before = workers(server, "ticket")
    done = ticketctl(server, "reload", "--wait")
    assert done.returncode == 0, done.stderr
    assert len(server.wait_workers(2, without=before, pool=ANY_POOL)) == 2
    for command in ("audit", "orders", "stock"):
        refused = ticketctl(server, command)
        assert refused.returncode == EX_UNAVAILABLE and "SERVICES=ticket" in refused.stderr, refused


# Where systemd gives a folder, two masters of one unit name do not take each other's socket.
def test_control_socket_in_runtime_directory(start, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    server = ticket_alone(start, RUNTIME_DIRECTORY=str(folder))
    vacancy_alone(start, RUNTIME_DIRECTORY=str(folder))
    assert sorted(os.listdir(folder)) == ["control.sock", "ticket-control.sock"]
    assert not (server.directory / "var").exists()
    told = ticketctl(server, "status", "--json", RUNTIME_DIRECTORY=folder)
    assert json.loads(told.stdout)["master_pid"] == server.master_pid, told


# A ticket pool alone whose control socket cannot be made says so once, and serves.
def test_no_control_socket(start, tmp_path):
    (tmp_path / "file").write_text("")
    server = ticket_alone(start, CONTROL_SOCKET=str(tmp_path / "file" / "socket"))
    (line,) = server.wait_log("ticketctl cannot ask this server")
    assert line["level"] == "WARNING"
    assert ask(server, "ticket", "GET", "/health").status == 200


# Under one master the vacancy pool serves the control socket: it has a stock to tell of.
def test_ticketctl_of_both(start):
    server = both(start, INITIAL_STOCK=10)
    status = json.loads(ticketctl(server, "status", "--json").stdout)
    assert (status["role"], status["keeper"]["state"]) == ("vacancy", "running")
    buy(server, 4, "vacancy")
    stock = json.loads(ticketctl(server, "stock", "--json").stdout)
    assert (stock["capacity"], stock["available"]) == (10, 6)
    before = server.workers(ANY_POOL)
    assert ticketctl(server, "reload", "--wait").returncode == 0
    server.wait_workers(4, without=before, pool=ANY_POOL)
    assert ticketctl(server, "audit").returncode == 0


# ---------------------------------------------------------------- wrong settings


# A monolith has no pool to pick; the message names setting, value, and what is allowed.
@pytest.mark.parametrize("services", ["vacancy", "ticket"])
@pytest.mark.parametrize("check", [True, False], ids=["check", "start"])
def test_services_of_a_monolith(services, check):
    done = run(*["--check-config"] * check, settings={"DEPLOYMENT_MODE": "monolith", "SERVICES": services})
    assert done.returncode == EX_CONFIG and done.stderr.count("\n") == 1, done
    assert "SERVICES" in done.stderr and f'"{services}"' in done.stderr and "only all" in done.stderr


# ... and a monolith with "all" is a monolith.
def test_all_of_a_monolith(start):
    server = start(DEPLOYMENT_MODE="monolith", SERVICES="all", WORKERS=1)
    assert list(server.workers(ANY_POOL).values()) == ["ticketd: worker 0 (monolith)"]


# Two pools cannot listen on one path; one pool can.
def test_path_for_two_pools(tmp_path):
    settings = {"HOST": f"127.0.0.1,unix:{tmp_path}/s", "VACANCY_PORT": 0, "TICKET_PORT": 0}
    done = run(settings=settings, directory=tmp_path)
    assert done.returncode == EX_CONFIG and done.stderr.count("\n") == 1, done
    assert "HOST" in done.stderr and f"unix:{tmp_path}/s" in done.stderr
    assert not os.listdir(tmp_path)
    for services in POOLS:
        assert run("--check-config", settings={**settings, "SERVICES": services}).returncode == 0


# One port for both pools is told with the setting's name, and nothing is left behind.
def test_one_port_for_two_pools(tmp_path):
    port = harness.free_port()
    done = run(settings={"HOST": "127.0.0.1", "VACANCY_PORT": port, "TICKET_PORT": port}, directory=tmp_path)
    assert done.returncode == 1, done
    assert f"127.0.0.1:{port}" in done.stderr and "TICKET_PORT" in done.stderr
    assert not os.listdir(tmp_path)


# The files that calls of the vacancy pool need are counted, too.
def test_files_for_calls(tmp_path):
    program = wrapper(tmp_path, "resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))")
    settings = {"MAX_CONNECTIONS": 100, "VACANCY_WORKERS": 1, "TICKET_WORKERS": 1}
    spare = 300 - 100 - 64 - 4
    for calls, status in ((spare, 0), (spare + 1, EX_CONFIG)):
        done = run("--check-config", settings={**settings, "HTTP_MAX_CONNECTIONS": calls}, program=program)
        assert done.returncode == status, done
    assert "HTTP_MAX_CONNECTIONS" in done.stderr
    done = run("--check-config", settings={**settings, "HTTP_MAX_CONNECTIONS": spare + 1, "SERVICES": "vacancy"},
               program=program)
    assert done.returncode == 0, done


# The annotated examples are what ticketd takes, and run the pools that their names say.
@pytest.mark.parametrize("name, roles", [
    ("monolith", "monolith"), ("microservices", "vacancy ticket"), ("vacancy", "vacancy"), ("ticket", "ticket")])
def test_examples(start, name, roles):
    example = harness.SETTINGS_DEF.parents[2] / "conf" / f"{name}.env"
    few = {"HOST": "127.0.0.1", "MAX_CONNECTIONS": 100, "VACANCY_WORKERS": 1, "TICKET_WORKERS": 1, "WORKERS": 1}
    server = start(arguments=("--config", example), **few, DEPLOYMENT_MODE=None, INITIAL_STOCK=None)
    assert {text.split("(")[1].rstrip(")") for text in server.workers(ANY_POOL).values()} == set(roles.split())


# ---------------------------------------------------------------- deaths


# A dead worker of either pool is told of with its pool and replaced; the others are not touched.
@pytest.mark.parametrize("pool", POOLS)
def test_worker_is_replaced(start, pool):
    server = both(start)
    before, victim = server.workers(ANY_POOL), workers(server, pool)[1]
    os.kill(victim, signal.SIGKILL)
    (line,) = server.wait_log(rf"\b{victim}\b.*killed by signal 9")
    assert line["message"].startswith(f"{pool} worker ")
    after = server.wait_workers(4, without=[victim], pool=ANY_POOL)
    assert sorted(after.values()) == sorted(before.values())
    assert set(before) - {victim} <= set(after)
    assert buy(server, 1, "vacancy")["success"]
    assert ask(server, "ticket", "GET", "/health").status == 200


# All workers of the vacancy pool die: the ticket pool is still there, and sells again with the new ones.
def test_vacancy_pool_dies(start):
    server = both(start, INITIAL_STOCK=10)
    before = workers(server, "ticket")
    for pid in workers(server, "vacancy"):
        os.kill(pid, signal.SIGKILL)
    assert ask(server, "ticket", "GET", "/health").status == 200
    server.wait_workers(4, pool=ANY_POOL)
    assert eventually(lambda: ask(server, "ticket", "POST", PURCHASE, {"qty": 1}).status == 200, "a sale")
    assert workers(server, "ticket") == before


# Every child of the tree dies with its master.
def test_parent_death(start):
    server = both(start)
    os.kill(server.master_pid, signal.SIGKILL)
    assert server.wait_exit() == -signal.SIGKILL
    server.assert_gone()


# ---------------------------------------------------------------- reload


# The vacancy pool is rolled first, then the ticket pool; "done" is said once, when both are.
def test_reload_rolls_both_in_order(start):
    server = both(start, LOG_LEVEL="DEBUG")
    before = server.workers(ANY_POOL)
    since = reload_and_wait(server)
    fresh = server.wait_workers(4, without=before, pool=ANY_POOL)
    assert sorted(fresh.values()) == sorted(before.values())
    forked = [match[1] for entry in server.log[since:]
              if (match := re.match(r"(vacancy|ticket) worker \d has pid", entry["message"]))]
    assert forked == ["vacancy", "vacancy", "ticket", "ticket"]
    assert len(server.wait_log("reload done", since)) == 1


# A live setting reaches both pools.
def test_reload_applies_to_both(start):
    server = both(start, config={"SERVICE_NAME": "one"})
    server.write_config({"SERVICE_NAME": "two"})
    reload_and_wait(server)
    for pool in POOLS:
        assert ask(server, pool, "GET", "/").json()["service"] == "two"
    assert buy(server)["success"], "the ticket pool still knows where the vacancy pool is"


# Reloads in quick succession, in the middle of each other, end with the last settings in both pools.
def test_many_reloads(start):
    server = both(start, config={"SERVICE_NAME": "s0"})
    for number in range(1, 6):
        server.write_config({"SERVICE_NAME": f"s{number}"})
        server.send_signal(signal.SIGHUP)
    for pool in POOLS:
        eventually(lambda: ask(server, pool, "GET", "/").json()["service"] == "s5", "the last settings")
    assert ticketctl(server, "reload", "--wait").returncode == 0
    assert len(server.wait_workers(4, pool=ANY_POOL)) == 4


# A wrong file changes neither pool, and counts as refused.
def test_reload_refused(start):
    server = both(start, config={"SERVICE_NAME": "one"})
    before = server.workers(ANY_POOL)
    server.write_config({"SERVICE_NAME": "two", "SERVICES": "some"})
    assert ticketctl(server, "reload", "--wait").returncode == 1
    stays(lambda: server.workers(ANY_POOL) == before, "the workers are the old ones", 0.3)


# A ticket pool that cannot be rolled keeps its old workers; the reload counts as refused although the
# vacancy pool has rolled, and a later one does all.
def test_reload_given_up(start, tmp_path):
    gate = tmp_path / "gate"
    server = both(start, **preload(tmp_path, "start", TEST_START_DIES=gate, TEST_START_ONLY="(ticket)"))
    old = {pool: workers(server, pool) for pool in POOLS}
    gate.touch()
    assert ticketctl(server, "reload", "--wait").returncode == 1
    (line,) = server.wait_log("reload given up")
    assert "the new ticket worker 0 died" in line["message"]
    assert workers(server, "ticket") == old["ticket"]
    eventually(lambda: not set(workers(server, "vacancy")) & set(old["vacancy"]), "a new vacancy pool")
    gate.unlink()
    assert ticketctl(server, "reload", "--wait").returncode == 0
    assert not set(server.wait_workers(4, without=old["ticket"], pool=ANY_POOL)) & set(old["vacancy"])


# A vacancy pool that cannot be rolled ends the reload: the ticket pool is not touched.
def test_reload_given_up_at_once(start, tmp_path):
    gate = tmp_path / "gate"
    server = both(start, **preload(tmp_path, "start", TEST_START_DIES=gate, TEST_START_ONLY="(vacancy)"))
    before = server.workers(ANY_POOL)
    gate.touch()
    assert ticketctl(server, "reload", "--wait").returncode == 1
    stays(lambda: server.workers(ANY_POOL) == before, "the workers are the old ones", 0.3)


# A pool whose workers die before they ever serve ends the start, by name; the other one ends properly.
@pytest.mark.parametrize("pool", POOLS)
def test_pool_dies_at_start(start, tmp_path, pool):
    gate = tmp_path / "gate"
    gate.touch()
    server = both(start, ready=False, **preload(tmp_path, "start", TEST_START_DIES=gate, TEST_START_ONLY=f"({pool})"))
    assert server.wait_exit() == 1, server.log_text()
    (line,) = [entry["message"] for entry in server.log if entry["level"] == "CRITICAL"]
    assert line == f"{pool} workers die before they serve; giving up"
    server.assert_gone()


# ---------------------------------------------------------------- restart in place


def watching(start, program, config):
    return start(config={**config, "DEPLOYMENT_MODE": "microservices", "VACANCY_WORKERS": 1, "TICKET_WORKERS": 1},
                 WORKERS=None, RELOAD="true", ENVIRONMENT="development", program=str(program))


# A new binary takes over the listeners of both pools, each its own, although both left their ports
# to the kernel.
def test_restart_in_place_keeps_listeners(start, copy):
    server = watching(start, copy, {"HOST": "127.0.0.1,::1" if has_ipv6() else "127.0.0.1"})
    before, since = server.workers(ANY_POOL), server.mark()
    addresses = {pool: at(server, pool) for pool in POOLS}
    sockets = {pool: listening(addresses[pool].port) for pool in POOLS}
    master = start_time(server.master_pid)
    replace(copy, harness.binary())
    server.wait_log("restarting in place", since)
    server.wait_ready(since)
    server.wait_workers(2, without=before, pool=ANY_POOL)
    assert start_time(server.master_pid) == master
    for pool in POOLS:
        assert at(server, pool).url == addresses[pool].url
        assert listening(addresses[pool].port) == sockets[pool], "the very same sockets"
        assert ask(server, pool, "GET", "/health").json()["service"] == pool
    assert buy(server)["success"]


# Ports that change hands between the pools are taken over, too.
def test_restart_in_place_swaps_ports(start, copy):
    ports = [harness.free_port(), harness.free_port()]
    assert ports[0] != ports[1]
    server = watching(start, copy, {"VACANCY_PORT": ports[0], "TICKET_PORT": ports[1]})
    since = server.mark()
    sockets = [listening(port) for port in ports]
    server.write_config({"DEPLOYMENT_MODE": "microservices", "VACANCY_WORKERS": 1, "TICKET_WORKERS": 1,
                         "VACANCY_PORT": ports[1], "TICKET_PORT": ports[0]})
    server.wait_log("restarting in place", since)
    server.wait_ready(since)
    assert [listening(port) for port in ports] == sockets
    assert (at(server, "vacancy").port, at(server, "ticket").port) == (ports[1], ports[0])
    for pool in POOLS:
        assert ask(server, pool, "GET", "/health").json()["service"] == pool
    assert buy(server)["success"]


# ---------------------------------------------------------------- the end


def refuses(address):
    with socket.socket(address.family) as sock:
        return sock.connect_ex(address.target) != 0


# The vacancy pool serves as long as a ticket worker has something in hand, here a request that is
# slow to come; new clients of the ticket pool are refused meanwhile.
def test_ticket_pool_ends_first(start):
    server = both(start, SHUTDOWN_TIMEOUT=DEADLINE_S)
    with Client(at(server, "ticket")) as slow, Client(at(server, "vacancy")) as idle:
        assert slow.ask("GET", "/health").status == 200
        request = request_bytes("GET", "/health")
        slow.send(request[:-2])
        before = workers(server, "vacancy")
        server.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(at(server, "ticket")), "new clients of the ticket pool are refused")
        eventually(lambda: len(workers(server, "ticket")) == 1, "the ticket worker with nothing in hand has ended")
        stays(lambda: workers(server, "vacancy") == before, "the vacancy pool goes on", 0.5)
        assert ask(server, "vacancy", "GET", AVAILABLE).status == 200
        assert idle.ask("GET", AVAILABLE).status == 200
        slow.send(request[-2:])
        assert slow.answer().status == 200
    assert server.wait_exit() == 0
    server.assert_gone()


# A vacancy worker that dies while the ticket pool ends is replaced: it is still needed.
def test_vacancy_worker_dies_during_the_end(start):
    server = both(start, SHUTDOWN_TIMEOUT=DEADLINE_S)
    with Client(at(server, "ticket")) as slow:
        assert slow.ask("GET", "/health").status == 200
        slow.send(b"GET ")
        server.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(at(server, "ticket")), "the end has begun")
        victim = workers(server, "vacancy")[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(workers(server, "vacancy")) == 2 and not alive(victim), "a new vacancy worker")
        assert ask(server, "vacancy", "GET", AVAILABLE).status == 200
    assert server.wait_exit() == 0


# A purchase in flight when the end begins is answered, and sold once.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_purchase_in_flight_is_answered(start, number):
    server = both(start, INITIAL_STOCK=10, SHUTDOWN_TIMEOUT=DEADLINE_S, SALE_TIMEOUT=30, VACANCY_TIMEOUT=30)
    with paused(keeper(server)), Client(at(server, "ticket")) as client:
        client.send(request_bytes("POST", PURCHASE, {"qty": 3}))
        eventually(lambda: ask(server, "vacancy", "GET", AVAILABLE).json() == {"qty": 7}, "it is under way")
        server.send_signal(number)
        eventually(lambda: refuses(at(server, "ticket")), "the end has begun")
        os.kill(keeper(server), signal.SIGCONT)
        answer = client.answer()
        assert (answer.status, answer.json()["success"], answer.json()["remaining"]) == (200, True, 7), answer
    assert server.wait_exit() == 0
    server.assert_gone()


# Clients that never end keep neither pool beyond SHUTDOWN_TIMEOUT, which holds for both together.
def test_shutdown_timeout_is_for_all(start):
    server = both(start, SHUTDOWN_TIMEOUT=3, INITIAL_STOCK=10)
    with Client(at(server, "ticket")) as one, Client(at(server, "vacancy")) as two:
        for client in (one, two):
            assert client.ask("GET", "/health").status == 200
            client.send(b"GET /health HTTP/1.1\r\n")
        server.send_signal(signal.SIGTERM)
        assert server.wait_exit(3 + 1 + SLACK_S) == 0
    server.assert_gone()
    assert not [entry for entry in server.log if "killing it" in entry["message"]], server.log_text()


# A second SIGTERM ends both pools at once.
def test_second_signal(start):
    server = both(start, SHUTDOWN_TIMEOUT=60)
    with Client(at(server, "ticket")) as one, Client(at(server, "vacancy")) as two:
        for client in (one, two):
            assert client.ask("GET", "/health").status == 200
            client.send(b"GET ")
        server.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(at(server, "ticket")), "the end has begun")
        hurry = threading.Timer(0.7, server.send_signal, [signal.SIGTERM])
        hurry.start()
        assert server.wait_exit() == 0
        hurry.join()
    server.assert_gone()
