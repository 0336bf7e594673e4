"""The proxy as a process: every byte, and counters that agree with them."""

from __future__ import annotations

import pytest

from tests.support.proxy import run_flows, run_sockproxy, running_proxy, through
from tests.support.scale import scaled
from tests.support.sockets import eventually, receive

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.mark.parametrize("order", ["both", "client", "server"])
@pytest.mark.parametrize("writes", [1, 1000, 1 << 20])
def test_sizes_and_orders(proxy, writes, order):
    size = scaled({1: 20_000, 1000: 2_000_000, 1 << 20: 60_000_000}[writes])
    assert not run_flows(
        proxy.address, count=4, up=size, down=size // 2 + 1, writes=writes, order=order
    )


def test_slow_readers(proxy):
    assert not run_flows(
        proxy.address, count=8, up=scaled(20_000_000), down=scaled(15_000_000), nap=0.05
    )


def test_small_budget_under_contention(server):
    with running_proxy(server, "--eager", "--budget", "16KiB") as proxy:
        for _ in range(3):
            size = scaled(10_000_000)
            assert not run_flows(proxy.address, count=10, up=size, down=size * 4 // 5, nap=0.02)
        assert proxy.settled()["holds"] > scaled(20)


def test_a_thousand_connections_at_once(proxy):
    assert not run_flows(proxy.address, count=scaled(500, 20), up=30_000, down=30_000, writes=5000)


def test_counters_agree_with_the_bytes(accelerated):
    assert not run_flows(accelerated.address, count=10, up=1_000_000, down=3_000_000)
    status = accelerated.settled()
    headers = status["redirected"] + status["pumped"] - 20 * 4_000_000
    assert 0 < headers < 20 * 200  # the line of JSON before each flow
    assert (status["connections_ended"], status["connections_reset"]) == (20, 0)
    assert status["enrolments"]["enrolled"] == 40


def test_connections_agree_with_the_bytes(listener):
    with running_proxy(listener.getsockname()) as proxy:
        client, upstream = through(proxy, listener)
        turns = 0

        def talk(count):
            nonlocal turns
            for _ in range(count):
                client.sendall(b"x" * 1234)
                receive(upstream, 1234)
                upstream.sendall(b"y" * 4321)
                receive(client, 4321)
            turns += count
            (pair,) = proxy.connections()
            return pair

        def is_redirected():
            """It was seen to be a conversation, and there was a quiet moment."""
            pair = talk(6)
            return {pair[way]["state"] for way in ("forward", "backward")} == {"redirect"}

        with client, upstream:
            eventually(is_redirected, 20)
            before = talk(1)
            pair = talk(10)
            assert tuple(pair["client"]) == client.getsockname()
            assert tuple(pair["upstream"]) == upstream.getsockname()
            for way, size in (("forward", 1234), ("backward", 4321)):
                assert pair[way]["redirected"] + pair[way]["pumped"] == turns * size
                assert pair[way]["pumped"] == before[way]["pumped"]
                assert pair[way]["state"] == "redirect"
            text = run_sockproxy("connections", proxy.name).stdout
            assert f"127.0.0.1:{client.getsockname()[1]}" in text
