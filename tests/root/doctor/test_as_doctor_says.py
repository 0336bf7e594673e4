"""On whatever kernel this is: what is on is used, what is off is not, and every byte arrives."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from sockproxy.proof.ask import proof_of, why_not_proved
from sockproxy.proof.mechanisms import BYPASS, OBSERVE, SPLICE
from tests.support.bypass import ALL_READERS, NAME, converse, status
from tests.support.bypass import sockproxy as command
from tests.support.proxy import pattern_server, run_flows, running_proxy
from tests.support.sockets import tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]

RESULTS = Path(__file__).resolve().parents[3] / "vagrant" / "results"
TALK = """
import select, socket
listener = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(listener.getsockname())
other, _ = listener.accept()
waits = select.epoll()
for sock in (one, other):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waits.register(sock, select.EPOLLIN)
for _ in range(10):
    for source, target in ((one, other), (other, one)):
        source.sendall(b"?")
        assert target.recv(2) == b"?"
"""


def test_nothing_is_off_that_was_on():
    """On a kernel of docs/kernels.md: tests skip what is off, and none must be that need not."""
    release = os.uname().release
    records = [json.loads(each.read_text()) for each in RESULTS.glob("*.json")]
    recorded = [each["mechanisms"] for each in records if each["release"] == release]
    if not recorded:
        pytest.skip(f"{release} is no kernel of docs/kernels.md")
    for mechanisms in recorded:
        for name, said in mechanisms.items():
            assert proof_of(name).on >= said["on"], (name, proof_of(name).why_not)


def test_proxy():
    why = why_not_proved(SPLICE)  # before it starts: it would relay until that is found out
    with pattern_server() as server, running_proxy(server, "--eager") as proxy:
        assert not run_flows(
            proxy.address, clients=1, count=2, up=100_000, down=100_000, writes=1000
        )
        moved = proxy.settled()["redirected"]
        if why:
            assert moved == 0
            proxy.says(f"relaying in user space: {why}")
        else:
            assert moved > 0
            proxy.says("accelerated")


def test_attach(group):
    arguments = ("attach", NAME, "--cgroup", group.path, *ALL_READERS, "--json")
    if not proof_of(OBSERVE).on:
        told = command(*arguments, code=4)
        assert why_not_proved(BYPASS) in told
        assert len(told.splitlines()) == 1
        attached = False
    else:
        told = json.loads(command(*arguments))
        assert told["mode"] == ("bypassing" if proof_of(BYPASS).on else "observing")
        assert (told["why_not"] or "") == why_not_proved(BYPASS)
        attached = True
    try:
        one, other = tcp_pair()
        with one, other:
            converse(one, other, times=10)
        if attached:
            assert (status()["bypassed_messages"] > 0) == proof_of(BYPASS).on
    finally:
        if attached:
            command("detach", NAME)


def test_run():
    told = command("run", NAME, *ALL_READERS, "--", sys.executable, "-c", TALK)
    why = why_not_proved(BYPASS)
    assert ("by plain TCP" in told) == bool(why)
    assert why in told
    if not why:
        assert "past TCP 0 messages" not in told
