"""Restarts in place (RELOAD=true in development) that once lost something on the way."""

import os
import shutil
import signal
import socket
import subprocess

import pytest

from harness import (ALONE, AVAILABLE, DEADLINE_S, RESERVE, Client, binary, eventually, replace, request_bytes, start_time)

HALF = request_bytes("POST", RESERVE, {"qty": 1})


def watching(start, config, **settings):
    return start(config=config, RELOAD="true", ENVIRONMENT="development", **settings)


def cache_control(server):
    return server.ask("GET", AVAILABLE)["Cache-Control"]


# ---------------------------------------------------------------- a restart that fails


# The new binary vanishes between its trial and the restart: the old master goes on, and its
# environment is still sound, as the next reload and the next restart show.
def test_failed_restart_then_reload(start, copy):
    server = watching(start, {"CACHE_TTL_SECONDS": 7}, program=str(copy), SERVICE_NAME="kept", WORKERS=2,
                      SHUTDOWN_TIMEOUT=60, REQUEST_TIMEOUT=60)
    before, master, url = server.workers(), start_time(server.master_pid), server.vacancy_url
    for ttl in (8, 9):  # twice: what one failure leaves behind the next one finds
        since = server.mark()
        with server.connect() as client:
            assert client.ask("GET", AVAILABLE).status == 200
            client.send(HALF[:-1])
            server.write_config({"CACHE_TTL_SECONDS": ttl})
            server.wait_log("restarting in place", since)
            copy.unlink()
            client.send(HALF[-1:])
            assert client.answer().json()["success"] is True
        server.wait_log("cannot restart in place", since)
        before = server.wait_workers(2, without=before)
        since = server.mark()
        server.send_signal(signal.SIGHUP)
        server.wait_log("reload done", since)
        before = server.wait_workers(2, without=before)
        assert cache_control(server).endswith(f"max-age={ttl}")
        assert server.ask("GET", "/").json()["service"] == "kept"
        # put back without being new, so that nothing is restarted yet
        if ttl == 8:
            stamp = os.stat(binary())
            shutil.copyfile(binary(), copy.with_suffix(".new"))
            copy.with_suffix(".new").chmod(0o700)
            os.utime(copy.with_suffix(".new"), ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            since = server.mark()
            os.replace(copy.with_suffix(".new"), copy)
            server.wait_ready(since)
            before = server.wait_workers(2, without=before)
    since = server.mark()
    replace(copy, binary())
    server.wait_ready(since)
    server.wait_workers(2, without=before)
    assert cache_control(server).endswith("max-age=9")
    assert server.ask("GET", "/").json()["service"] == "kept"
    assert start_time(server.master_pid) == master
    assert server.vacancy_url == url


# A new binary that neither judges its configuration nor ends is ended; what runs goes on, and the
# next one is taken.
def test_new_binary_hangs(start, copy):
    server = watching(start, {"CACHE_TTL_SECONDS": 7}, program=str(copy))
    before, since = server.workers(), server.mark()
    replace(copy, b"#!/bin/sh\nexec sleep 600\n")
    server.wait_log("takes too long", since, deadline_s=DEADLINE_S + 20)
    server.wait_log("not restarted", since)
    assert server.workers() == before
    assert server.ask("POST", RESERVE, {"qty": 1}).status == 200
    since = server.mark()
    replace(copy, binary())
    server.wait_ready(since)
    server.wait_workers(2, without=before)


# A stop does not wait for one, and leaves it not behind.
def test_stop_while_a_new_binary_hangs(start, copy, tmp_path):
    server = watching(start, {"CACHE_TTL_SECONDS": 7}, program=str(copy))
    tried = tmp_path / "tried"
    replace(copy, f"#!/bin/sh\n: >{tried}\nexec sleep 600\n".encode())
    eventually(tried.exists, "the new binary is tried")
    server.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    server.assert_gone()


# ---------------------------------------------------------------- listeners that are handed on


def backlog(port):
    shown = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], stdout=subprocess.PIPE, text=True, check=True).stdout
    (line,) = shown.splitlines()
    return int(line.split()[2])


# A listener that is handed on follows a changed LISTEN_BACKLOG.
@pytest.mark.skipif(shutil.which("ss") is None, reason="no ss here")
def test_changed_backlog(start):
    server = watching(start, {"LISTEN_BACKLOG": 77})
    port = server.vacancy_address.port
    assert backlog(port) == 77
    for size in (99, 55):
        since = server.mark()
        server.write_config({"LISTEN_BACKLOG": size})
        server.wait_ready(since)
        assert server.vacancy_address.port == port
        assert backlog(port) == size


def serves(url):
    with Client(url) as client:
        return client.ask("GET", AVAILABLE).status == 200


# A local socket that HOST no longer names takes its file along; one that it names still keeps it.
def test_dropped_local_socket(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("u")
    kept, dropped = folder / "kept", folder / "dropped"
    server = watching(start, {"HOST": f"127.0.0.1,unix:{kept},unix:{dropped}"}, **ALONE)
    inode, since = os.stat(kept).st_ino, server.mark()
    assert serves(f"unix:{dropped}")
    server.write_config({"HOST": f"127.0.0.1,unix:{kept}"})
    server.wait_ready(since)
    assert os.listdir(folder) == ["kept"]
    assert os.stat(kept).st_ino == inode
    assert serves(f"unix:{kept}")
    # and it comes back
    since = server.mark()
    server.write_config({"HOST": f"unix:{dropped}"})
    server.wait_ready(since)
    assert os.listdir(folder) == ["dropped"]
    assert serves(f"unix:{dropped}")
    server.stop()
    assert os.listdir(folder) == []


# A TCP listener that HOST no longer names is closed.
def test_dropped_address(start, tmp_path_factory):
    path = tmp_path_factory.mktemp("u") / "s"
    server = watching(start, {"HOST": f"127.0.0.1,unix:{path}"}, **ALONE)
    (port,) = [address.port for address, _ in server.addresses if address.family == socket.AF_INET]
    since = server.mark()
    server.write_config({"HOST": f"unix:{path}"})
    server.wait_ready(since)
    with pytest.raises(ConnectionRefusedError):
        Client(f"http://127.0.0.1:{port}")
    assert serves(f"unix:{path}")
