"""Addresses and limits of descriptors that were once mistaken at the start."""

import os
import signal
import stat

import pytest

from harness import ALONE, AVAILABLE, STOCK_PORT, Client, alone, for_this_mode, has_ipv6, run, stays
from surroundings import wrapper


# One pool, so that every address is its own.
@pytest.fixture(name="start")
def start_one_pool(start):
    return alone(start)


# ---------------------------------------------------------------- a path that is somebody's


def make_file(path):
    path.write_text("precious")
    path.chmod(0o640)


def make_link(path):
    target = path.with_name("target")
    make_file(target)
    path.symlink_to(target)


def make_pipe(path):
    os.mkfifo(path)


def make_folder(path):
    path.mkdir()
    make_file(path / "file")


def make_dangling_link(path):
    path.symlink_to(path.with_name("nowhere"))


def seen(path):
    status = os.lstat(path)
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns


# HOST=unix:PATH with the path of something else than a socket: a start that is refused, and what is
# there stays as it is.
@pytest.mark.parametrize("make", [make_file, make_link, make_dangling_link, make_pipe, make_folder])
def test_unix_path_is_taken_by_no_socket(tmp_path_factory, make):
    path = tmp_path_factory.mktemp("u") / "s"
    make(path)
    before = seen(path)
    done = run(settings={**ALONE, "HOST": f"unix:{path}", "WORKERS": 1})
    assert done.returncode == 1, done.stderr
    assert str(path) in done.stderr
    assert seen(path) == before
    if make is make_file:
        assert path.read_text() == "precious"


# ... also when another address of the list could be opened first.
def test_unix_path_is_a_file_beside_others(tmp_path_factory):
    folder = tmp_path_factory.mktemp("u")
    make_file(folder / "s")
    before = seen(folder / "s")
    done = run(settings={**ALONE, STOCK_PORT: 0, "WORKERS": 1,
                         "HOST": f"127.0.0.1,unix:{folder}/good,unix:{folder}/s"})
    assert done.returncode == 1, done.stderr
    assert seen(folder / "s") == before
    assert os.listdir(folder) == ["s"], "the socket that could be opened is left behind"


# ---------------------------------------------------------------- addresses within others


# An address that a wildcard of the list covers is no second listener, and no reason not to start.
@pytest.mark.parametrize("host", ["0.0.0.0,127.0.0.1", "127.0.0.1,0.0.0.0", "0.0.0.0,localhost", "::,127.0.0.1",
                                  "0.0.0.0,::1", "::1,::"])
def test_wildcard_covers_others(start, host):
    if "::" in host and not has_ipv6():
        pytest.skip("no IPv6 here")
    server = start(HOST=host)
    ports = {address.port for address, _ in server.addresses}
    assert len(ports) == 1
    with Client(f"http://127.0.0.1:{ports.pop()}") as client:
        assert client.ask("GET", AVAILABLE).status == 200


# It covers no local socket.
def test_wildcard_beside_a_local_socket(start, tmp_path_factory):
    path = tmp_path_factory.mktemp("u") / "s"
    start(HOST=f"0.0.0.0,127.0.0.1,unix:{path}")
    assert stat.S_ISSOCK(os.lstat(path).st_mode)
    with Client(f"unix:{path}") as client:
        assert client.ask("GET", AVAILABLE).status == 200


# ---------------------------------------------------------------- more connections than files


FEW_FILES = "resource.setrlimit(resource.RLIMIT_NOFILE, (130, 130))"


# A MAX_CONNECTIONS that the process may not have is a wrong setting from the start ...
def test_too_many_connections_at_start(tmp_path):
    settings = {**ALONE, "HOST": "127.0.0.1", STOCK_PORT: 0, "MAX_CONNECTIONS": 1000}
    done = run(settings=settings, program=wrapper(tmp_path, FEW_FILES))
    assert done.returncode == 78, done.stderr
    assert len([line for line in done.stderr.splitlines() if "MAX_CONNECTIONS" in line]) == 1, done.stderr


# ... and on SIGHUP, which names it and changes nothing; one that fits is taken.
def test_too_many_connections_on_reload(start, tmp_path):
    server = start(config={"MAX_CONNECTIONS": 50, "CACHE_TTL_SECONDS": 7}, program=wrapper(tmp_path, FEW_FILES))
    before, since = server.workers(), server.mark()
    server.write_config({"MAX_CONNECTIONS": 1000, "CACHE_TTL_SECONDS": 8})
    server.send_signal(signal.SIGHUP)
    (line,) = server.wait_log(r"\bMAX_CONNECTIONS\b", since)
    assert line["level"] == "ERROR"
    stays(lambda: server.workers() == before, "the old workers", 0.5)
    assert server.ask("GET", AVAILABLE)["Cache-Control"].endswith("max-age=7")
    since = server.mark()
    server.write_config({"MAX_CONNECTIONS": 60, "CACHE_TTL_SECONDS": 8})
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload done", since)
    assert server.ask("GET", AVAILABLE)["Cache-Control"].endswith("max-age=8")


# What is allowed can be had, to the last one (64 files are spare, and two for each worker): so many
# connections at once, all in one worker's hands; one more is not allowed.
def test_as_many_connections_as_files(start, tmp_path):
    most = 130 - 64 - 2
    settings = for_this_mode({**ALONE, "WORKERS": 1, "MAX_CONNECTIONS": most + 1})
    assert run("--check-config", settings=settings, program=wrapper(tmp_path, FEW_FILES)).returncode == 78
    server = start(MAX_CONNECTIONS=most, WORKERS=1, program=wrapper(tmp_path, FEW_FILES))
    clients = [server.connect() for _ in range(most)]
    for client in clients:
        assert client.ask("GET", AVAILABLE).status == 200
    for client in clients:
        client.close()
    assert not [entry for entry in server.log if entry["level"] not in ("INFO", "DEBUG")], server.log_text()
