"""Too few file descriptors: clients wait, bytes go another way, and nobody is reset."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.support.pattern import Checker, Pattern
from tests.support.proxy import pattern_server, run_flows, running_proxy
from tests.support.scale import patience, scaled
from tests.support.sockets import receive
from tests.support.stalled import (
    BUFFER,
    both_ways,
    connected,
    pull_until_all_arrived,
    push_until_all_block,
    slow_listener,
)

pytestmark = [pytest.mark.root, pytest.mark.bpf]

CLIENTS = 120
MODES = pytest.mark.parametrize(
    "option", [[], ["--eager"], ["--relay"]], ids=["auto", "eager", "relay"]
)
LIMITS = pytest.mark.parametrize("limit", [64, 300])


def at_most(descriptors):
    """What runs a program that can have so many, and cannot raise that."""
    few = ("sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh")
    return ("setpriv", "--bounding-set=-sys_resource", *few)


@pytest.fixture(scope="module")
def server():
    with pattern_server() as address:
        yield address


@LIMITS
@MODES
def test_streams_of_more_clients_than_fit(server, option, limit):
    with running_proxy(server, *option, under=at_most(limit)) as proxy:
        size = scaled(2_000_000, 200_000)
        assert not run_flows(proxy.address, count=CLIENTS // 2, up=size, down=size, nap=0.01)
        status = proxy.settled()
        assert status["connections_ended"] == CLIENTS
        assert status["connections_reset"] == status["connections_refused"] == 0
        assert 0 < status["max_connections"] < CLIENTS
        assert proxy.stderr().count("file descriptors") == 1
        assert "trying again" not in proxy.stderr()


@MODES
def test_every_direction_stalls_at_once(option):
    """A stalled direction keeps its bytes: in a pipe, or where there is none to be had."""
    with (
        slow_listener() as listener,
        running_proxy(listener.getsockname(), *option, under=at_most(64)) as proxy,
        connected(proxy, listener, proxy.status()["max_connections"]) as ends,
    ):
        streams = both_ways(ends)
        push_until_all_block(streams)
        pull_until_all_arrived(streams)
        assert all(stream.sent > 2 * BUFFER for stream in streams)
        for stream in streams:
            stream.source.shutdown(socket.SHUT_WR)
        for stream in streams:
            stream.target.settimeout(patience(20))
            assert stream.target.recv(1) == b""
        status = proxy.settled()
        assert status["connections_ended"] == len(ends)
        assert status["connections_reset"] == 0


@LIMITS
@MODES
def test_conversations_of_more_clients_than_fit(option, limit):
    """Each waits its turn, and talks; those of a turn are all there at once."""
    errors = []
    with (
        socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener,
        running_proxy(listener.getsockname(), *option, under=at_most(limit)) as proxy,
    ):
        server = threading.Thread(target=serve_echoes, args=(listener,))
        server.start()
        threads = [
            threading.Thread(target=talk, args=(proxy.address, number, errors))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in (*threads, server):
            thread.join()
        assert not errors
        status = proxy.settled()
        assert status["connections_ended"] == CLIENTS
        assert status["connections_reset"] == status["connections_refused"] == 0


def serve_echoes(listener):
    def echo(sock):
        with sock:
            while part := sock.recv(1 << 16):
                sock.sendall(part)

    threads = []
    for _ in range(CLIENTS):
        threads.append(threading.Thread(target=echo, args=(listener.accept()[0],)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def talk(address, number, errors):
    """Forty requests, each answered by its own bytes, and the end."""
    pattern, checker = Pattern(number), Checker(number)
    try:
        with socket.create_connection(address, timeout=patience(60)) as sock:
            for turn in range(40):
                size = 1 + (turn * 977) % 3000
                sock.sendall(pattern.at(checker.offset, size))
                checker.feed(receive(sock, size))
            sock.shutdown(socket.SHUT_WR)
            if sock.recv(1):
                raise AssertionError("bytes after the end")
    except (OSError, AssertionError) as error:
        errors.append(f"{number}: {error!r}")
