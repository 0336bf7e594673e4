"""Several workers of one proxy: who has a client, and limits that hold for all together."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.support.proxy import run_flows, run_sockproxy, running_proxy
from tests.support.scale import patience
from tests.support.sockets import eventually, receive

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("splice")]

MODES = pytest.mark.parametrize("option", [[], ["--relay"]], ids=["auto", "relay"])


def shares(proxy):
    return [each["connections"] for each in proxy.status()["workers"]]


class Clients:
    """Connections through a proxy to a listener that a test accepts from."""

    def __init__(self, proxy, listener):
        self._proxy, self._listener = proxy, listener
        self._open = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    def connect(self):
        client = socket.create_connection(self._proxy.address, patience(10))
        return self._open.enter_context(client)

    def accept(self):
        upstream = self._open.enter_context(self._listener.accept()[0])
        upstream.settimeout(patience(10))
        return upstream

    def serve_one(self):
        client = self.connect()
        return client, self.accept()


@contextlib.contextmanager
def clients_of(listener, *options):
    """A proxy before the listener, and its clients."""
    with (
        running_proxy(listener.getsockname(), *options) as proxy,
        Clients(proxy, listener) as clients,
    ):
        yield proxy, clients


@MODES
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_connections_that_stay_are_shared_evenly(listener, option, workers):
    with clients_of(listener, "--workers", workers, *option) as (proxy, clients):
        pairs = [clients.serve_one() for _ in range(4 * workers)]
        eventually(lambda: shares(proxy) == [4] * workers)
        for number, (client, upstream) in enumerate(pairs):
            client.sendall(b"%d" % number)
            assert receive(upstream, len(b"%d" % number)) == b"%d" % number


@MODES
def test_a_limit_holds_for_all_of_them(listener, option):
    limits = ["--workers", 3, "--max-connections", 4]
    with clients_of(listener, *limits, *option) as (proxy, clients):
        served = [clients.serve_one() for _ in range(4)]
        waiting = [clients.connect() for _ in range(3)]
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()
        listener.settimeout(patience(10))
        assert sum(shares(proxy)) == 4
        for client, upstream in served[:3]:  # of whichever worker: a waiting one takes its place
            client.close()
            assert upstream.recv(1) == b""
            upstream.close()
            newcomer = clients.accept()
            newcomer.sendall(b"!")
        assert [receive(client, 1) for client in waiting] == [b"!"] * 3


def test_what_is_held_by_each_is_told_to_it(server):
    """Tiny budgets: holds all the time, of directions of both workers."""
    with running_proxy(server, "--workers", 2, "--eager", "--budget", "4KiB") as proxy:
        assert not run_flows(proxy.address, clients=4, count=4, up=8 << 20, down=8 << 20, nap=0.001)
        status = proxy.status()
        assert status["accelerated"]
        assert status["holds"] > 20
        assert all(each["connections_ended"] > 2 for each in status["workers"])


@MODES
def test_they_all_end_in_peace(listener, option):
    with clients_of(listener, "--workers", 3, *option) as (proxy, clients):
        pairs = [clients.serve_one() for _ in range(6)]
        eventually(lambda: shares(proxy) == [2, 2, 2])
        proxy.process.terminate()
        eventually(lambda: "have 10 s to finish" in proxy.stderr())
        for client, upstream in pairs:
            client.sendall(b"last words")
            client.shutdown(socket.SHUT_WR)
            assert receive(upstream, 10) == b"last words"
            assert upstream.recv(1) == b""
            upstream.sendall(b"farewell")
            upstream.close()
            assert receive(client, 8) == b"farewell"
            assert client.recv(1) == b""
        assert proxy.process.wait(patience(20)) == 0


def test_more_than_there_may_be():
    for number in ("0", "257", "many"):
        done = run_sockproxy(
            "proxy", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--workers", number
        )
        assert done.returncode == 2
        assert "--workers" in done.stderr
