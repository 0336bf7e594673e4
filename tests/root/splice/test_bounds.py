"""Stalled readers: the sender blocks, memory is bounded, and all arrives in the end."""

from __future__ import annotations

import os

import pytest

from tests.support.memory import busy_cores, peak_memory, tcp_limit
from tests.support.proxy import running_proxy
from tests.support.scale import scaled
from tests.support.stalled import (
    MIB,
    Stream,
    both_ways,
    connected,
    pull_until_all_arrived,
    push_until_all_block,
    slow_listener,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("splice"),
    pytest.mark.alone,  # memory of all sockets of the machine
]

MACHINE = 64 * MIB  # allowance for what the machine does meanwhile


@pytest.fixture
def listener():
    with slow_listener() as sock:
        yield sock


@pytest.mark.parametrize("both", [False, True], ids=["one-way", "both-ways"])
@pytest.mark.parametrize(
    ("count", "option"),
    [(count, ["--eager"]) for count in (1, 20, 200)]
    + [(count, option) for count in (1, 20) for option in ([], ["--relay"])],
)
def test_stalled_readers(count, both, option, listener):
    """`count` directions, or one pair both ways, with nobody who reads."""
    budget, count = MIB, scaled(count)
    pairs = max(1, count // 2) if both else count
    with running_proxy(listener.getsockname(), "--budget", budget, *option) as proxy:
        with connected(proxy, listener, pairs) as ends:
            streams = both_ways(ends) if both else [Stream(n, *pair) for n, pair in enumerate(ends)]
            with busy_cores(scaled(os.cpu_count(), 0)), peak_memory() as peak:
                push_until_all_block(streams)
            allowed = len(streams) * 2 * budget + MACHINE
            print(
                f"{len(streams)} directions: {peak.used / MIB:.1f} MiB used, "
                f"{peak.beyond_tcp / MIB:.1f} MiB beyond TCP's own, {allowed / MIB:.0f} allowed"
            )
            # Above its limit TCP drops what arrives, and is minutes in sending it again.
            assert peak.tcp < tcp_limit(), "net.ipv4.tcp_mem of this machine is too small"
            assert peak.beyond_tcp < allowed
            for pair in proxy.connections():
                for way in (pair["forward"], pair["backward"]):
                    # One skb may stand above the budget: 64 KiB of bytes and its overhead.
                    assert way["largest_backlog"] < budget + 512 * 1024
            pull_until_all_arrived(streams)
        assert proxy.settled()["connections_ended"] == pairs
