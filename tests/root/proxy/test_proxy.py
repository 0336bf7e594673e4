"""The proxy as a process: how connections end, to whom they go, and how many there may be."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess

import pytest

from tests.support.proxy import pattern_server, run_flows, running_proxy, through
from tests.support.scale import patience
from tests.support.sockets import receive, reset

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.mark.parametrize("who", ["client", "upstream"])
@pytest.mark.parametrize("option", [[], ["--eager"], ["--relay"]])
def test_reset_from_either_end(listener, who, option):
    with running_proxy(listener.getsockname(), *option) as proxy:
        client, upstream = through(proxy, listener)
        one, other = (client, upstream) if who == "client" else (upstream, client)
        client.sendall(b"hello")
        receive(upstream, 5)
        reset(one)
        with other, pytest.raises(ConnectionResetError):
            other.recv(1)


def test_an_upstream_that_refuses_is_a_reset_for_the_client(listener):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        closed = sock.getsockname()
    with running_proxy(closed) as proxy:
        with (
            pytest.raises(ConnectionResetError),  # connect() may tell it already
            socket.create_connection(proxy.address, timeout=patience(10)) as client,
        ):
            client.recv(1)
        proxy.says("connection refused")
        assert proxy.status()["connections_refused"] == 1


def test_an_upstream_that_dies_in_mid_stream(server):
    with pattern_server() as doomed, running_proxy(doomed) as proxy:
        with socket.create_connection(proxy.address, timeout=patience(10)) as client:
            spec = {"number": 1, "up": 0, "down": 1 << 40, "writes": 1 << 20, "nap": 0,
                    "order": "both"}  # fmt: skip
            client.sendall(json.dumps(spec).encode() + b"\n")
            receive(client, 10_000_000)
            os.kill(server_pid(doomed[1]), signal.SIGKILL)
            with pytest.raises(ConnectionResetError):
                while client.recv(1 << 20):
                    pass
                raise ConnectionResetError  # an end is what TCP gives if nothing was unread
        proxy.settled()


def server_pid(port):
    """The process that listens on `port`."""
    out = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True)
    return int(out.stdout.split("pid=")[1].split(",")[0])


def test_upstreams_take_turns_and_a_dead_one_is_passed_over():
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.create_server(("127.0.0.1", 0)) as dead,
    ):
        for sock in (one, two):
            sock.settimeout(patience(10))
        addresses = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in (one, two, dead)]
        dead.close()
        with running_proxy(
            one.getsockname(), "--upstream", addresses[1], "--upstream", addresses[2]
        ) as proxy:
            for first in (one, two, one, two, one):
                client, upstream = through(proxy, first)
                client.close()
                upstream.close()


def test_families(server):
    for listen in ("[::1]:0", "[::]:0"):
        with running_proxy(server, "--eager", listen=listen) as proxy:
            port = proxy.address[1]
            hosts = ["::1"] if listen.startswith("[::1]") else ["::1", "127.0.0.1"]
            for host in hosts:
                assert not run_flows((host, port), count=2, up=1_000_000, down=1_000_000)
            assert proxy.settled()["redirected"] > 0


def test_socket_options_are_as_asked(listener):
    with running_proxy(listener.getsockname(), "--keepalive", 30, "--no-nodelay") as proxy:
        client, upstream = through(proxy, listener)
        with client, upstream:
            out = subprocess.run(
                ["ss", "-Htno", f"sport = :{upstream.getpeername()[1]}"],
                capture_output=True,
                text=True,
            )
            assert "keepalive" in out.stdout


def test_more_clients_than_the_limit_wait(listener):
    with running_proxy(listener.getsockname(), "--max-connections", 2) as proxy:
        pairs = [through(proxy, listener) for _ in range(2)]
        third = socket.create_connection(proxy.address, timeout=patience(10))
        third.sendall(b"waiting")
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()
        for sock in pairs[0]:
            sock.close()
        listener.settimeout(patience(10))
        upstream, _ = listener.accept()
        with third, upstream:
            upstream.settimeout(patience(10))
            assert receive(upstream, 7) == b"waiting"
        for sock in pairs[1]:
            sock.close()


def test_idle_connections_are_reset(listener):
    with running_proxy(listener.getsockname(), "--idle-timeout", "1s") as proxy:
        client, upstream = through(proxy, listener)
        with client, upstream, pytest.raises(ConnectionResetError):
            client.recv(1)
        proxy.says("idle for 1 s")
