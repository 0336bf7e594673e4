"""What takes minutes: much data, one long stream, many connections, many rounds."""

from __future__ import annotations

import gc
import socket

import pytest

import sockproxy
from tests.support.memory import settled
from tests.support.pattern import Pattern
from tests.support.proxy import pattern_server, run_flows, running_proxy
from tests.support.sockets import receive, reset, spliced

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("splice"), pytest.mark.soak]

GIB = 1 << 30


@pytest.fixture(scope="module")
def server():
    with pattern_server() as address:
        yield address


@pytest.mark.parametrize("options", [[], ["--eager"]])
def test_one_stream_over_4_gib_each_way(server, options):
    """Sequence numbers and the 32-bit counters wrap."""
    with running_proxy(server, *options) as proxy:
        assert not run_flows(
            proxy.address, clients=1, up=4 * GIB + 12345, down=4 * GIB + 54321, timeout=1200
        )
        status = proxy.settled()
        assert status["redirected"] + status["pumped"] > 8 * GIB


def test_a_conversation_of_over_4_gib_each_way():
    """The same for the counters of what the kernel moves."""
    size = 64_000
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        running_proxy(listener.getsockname()) as proxy,
        socket.create_connection(proxy.address, timeout=20) as client,
    ):
        upstream, _ = listener.accept()
        upstream.settimeout(20)
        there, back = Pattern(1), Pattern(2)
        with upstream:
            for offset in range(0, 4 * GIB + 10 * size, size):
                for pattern, source, target in (
                    (there, client, upstream),
                    (back, upstream, client),
                ):
                    part = pattern.at(offset, size)
                    source.sendall(part)
                    assert receive(target, size) == part
        client.close()
        assert proxy.settled()["redirected"] > 8 * GIB


@pytest.mark.parametrize("options", [[], ["--eager", "--budget", "64KiB"]])
def test_ten_gigabytes_in_one_run(server, options):
    with running_proxy(server, *options) as proxy:
        assert not run_flows(proxy.address, count=4, up=700_000_000, down=700_000_000, timeout=1200)
        status = proxy.settled()
        assert status["redirected"] + status["pumped"] > 11_000_000_000


def test_holds_while_the_kernel_sends_the_other_way():
    """A hold leaves an error on a socket that a worker may be sending on: see take_error()."""
    size = 300_000
    with sockproxy.Splicer(pairs=2, budget=8192, eager=True) as splicer:
        for number in range(400):
            there, back = Pattern(2 * number), Pattern(2 * number + 1)
            with spliced(splicer) as (client, server, _):
                for offset in range(0, 60 * size, size):
                    client.sendall(there.at(offset, size))
                    server.sendall(back.at(offset, size))
                    assert receive(server, size) == there.at(offset, size)
                    assert receive(client, size) == back.at(offset, size)


def test_ten_thousand_short_connections_leak_nothing():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        running_proxy(listener.getsockname()) as proxy,
    ):
        listener.settimeout(10)

        def cycle(count):
            for number in range(count):
                client = socket.create_connection(proxy.address, timeout=10)
                upstream, _ = listener.accept()
                client.sendall(b"x" * (number % 3000 + 1))
                upstream.settimeout(10)
                receive(upstream, number % 3000 + 1)
                (reset if number % 7 == 0 else socket.socket.close)(client)
                upstream.close()
            return proxy.settled()

        cycle(1000)
        gc.collect()
        before = settled()
        status = cycle(10_000)
        assert before - settled() < 64 << 20
        assert status["enrolments"]["no_slot"] == 0
        assert status["enrolments"]["enrolled"] == 2 * 11_000


def test_many_rounds_of_contention(server):
    with running_proxy(server, "--eager", "--budget", "32KiB") as proxy:
        for number in range(20):
            assert not run_flows(
                proxy.address,
                count=12,
                up=8_000_000 + number,
                down=6_000_000 + 3 * number,
                writes=(1 << 20) >> (number % 8),
                nap=0.03,
                order=("both", "client", "server")[number % 3],
            )
        assert proxy.settled()["holds"] > 100
