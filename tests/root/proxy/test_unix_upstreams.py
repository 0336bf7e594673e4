"""Upstreams that are Unix sockets: not there, or with a full backlog; and real programs."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.nginx import http, nginx
from tests.support.proxy import running_proxy, started
from tests.support.scale import patience, scaled
from tests.support.servers import run
from tests.support.sockets import eventually
from tests.support.unix import connect, serves, unix_server

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SERVER = "server {{ listen unix:{path}; location / {{ root {folder}; }} }}"


def test_who_is_not_there_is_passed_over(tmp_path, unix_upstream, there):
    unix_server(f"unix:{tmp_path}/stale.sock").close()
    options = ("--upstream", f"unix:{tmp_path}/none.sock", "--upstream", there[0])
    with running_proxy((f"unix:{tmp_path}/stale.sock", 0), *options) as proxy:
        for _ in range(6):
            serves(proxy.address, unix_upstream)
        assert proxy.status()["connections_refused"] == 0


def test_nobody_is_there(tmp_path):
    with running_proxy((f"unix:{tmp_path}/none.sock", 0)) as proxy:
        with pytest.raises(ConnectionResetError), connect(proxy.address, patience(10)) as client:
            client.recv(1)
        proxy.says(f"refused: unix:{tmp_path}/none.sock: no such file or directory")


def full(unix_upstream):
    """Connections that fill its backlog."""
    unix_upstream.listen(0)
    waiting = []
    while True:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        waiting.append(sock)
        try:
            sock.connect(unix_upstream.getsockname())
        except BlockingIOError:
            return waiting


def test_a_backlog_that_is_full_is_waited_for(unix_upstream, there):
    waiting = full(unix_upstream)
    with running_proxy(there, "--connect-timeout", "60s") as proxy:
        with connect(proxy.address, patience(20)) as client:
            client.sendall(b"later")
            time.sleep(0.3)
            assert proxy.status()["connections"] == proxy.status()["connections_refused"] == 0
            unix_upstream.listen(10)
            for sock in waiting:
                sock.close()
            served = []
            eventually(
                lambda: served.append(unix_upstream.accept()[0]) or served[-1].recv(5) == b"later"
            )
            for sock in served:
                sock.close()
        assert proxy.settled()["connections_refused"] == 0


def test_a_backlog_that_stays_full_is_no_answer(unix_upstream, there):
    waiting = full(unix_upstream)
    with running_proxy(there, "--connect-timeout", "300ms") as proxy:
        with pytest.raises(ConnectionResetError), connect(proxy.address, patience(20)) as client:
            client.recv(1)
        proxy.says("no answer in 0.3 s")
        for sock in waiting:
            sock.close()


def test_it_does_not_connect_to_itself_for_ever(unix_place):
    with running_proxy((unix_place, 0), listen=unix_place) as proxy:
        with connect(proxy.address, patience(10)) as client:
            assert client.recv(1) == b""
        proxy.says("came back to it by a Unix socket; choose another --upstream")
        assert proxy.settled()["connections_refused"] == 1


# -- programs --------------------------------------------------------------------------------


@pytest.mark.tools("redis-server", "redis-cli", "redis-benchmark")
def test_redis(tmp_path, unix_place):
    path = tmp_path / "redis.sock"
    argv = ("redis-server", "--port", 0, "--unixsocket", path, "--save", "", "--dir", tmp_path)
    with (
        started(*argv, ready=path.exists),
        running_proxy((f"unix:{path}", 0), listen=unix_place) as proxy,
    ):
        place = unix_place.removeprefix("unix:")
        big = "x" * scaled(3_000_000, 300_000)
        for number in range(5):
            run("redis-cli", "-s", place, "-x", "SET", f"key{number}", input=f"{big}{number}")
            assert run("redis-cli", "-s", place, "GET", f"key{number}") == f"{big}{number}\n"
        told = run("redis-benchmark", "-s", place, "-n", scaled(20000, 1000), "-c", 20, "-P", 4,
                   "-d", 1000, "-t", "set,get", "--csv")  # fmt: skip
        assert '"GET"' in told
        assert proxy.settled()["connections_reset"] == 0


@pytest.mark.tools("nginx", "curl")
@pytest.mark.parametrize("is_unix", [True, False], ids=["unix", "tcp"])
def test_nginx_and_curl(tmp_path, unix_place, is_unix):
    path, file = tmp_path / "nginx.sock", tmp_path / "file"
    file.write_bytes(os.urandom(scaled(20_000_000, 1_000_000)))
    text = http(SERVER.format(path=path, folder=tmp_path))
    with (
        tempfile.TemporaryDirectory() as folder,
        nginx(tmp_path, text, ready=path.exists),
        running_proxy(
            (f"unix:{path}", 0), listen=unix_place if is_unix else "127.0.0.1:0"
        ) as proxy,
    ):
        way = ["--unix-socket", unix_place.removeprefix("unix:")] if is_unix else []
        port = 80 if is_unix else proxy.address[1]
        got = Path(folder, "got")
        for _ in range(3):
            run("curl", "-sSf", *way, "-o", got, f"http://127.0.0.1:{port}/file")
            assert got.read_bytes() == file.read_bytes()
        assert proxy.settled()["connections_reset"] == 0
