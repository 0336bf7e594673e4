"""A client in a bypass whose upstream is a Unix socket: all its bytes stay with the proxy."""

from __future__ import annotations

import pytest

from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import connections
from tests.support.pattern import Checker, Pattern
from tests.support.proxy import running_proxy, through
from tests.support.scale import patience
from tests.support.sockets import receive, seen_waiting
from tests.support.unix import unix_server

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass", "splice")]


def test_it_is_relayed(shared, tmp_path):
    name = f"unix:{tmp_path}/up.sock"
    with unix_server(name) as listener, running_proxy((name, 0)) as proxy:
        listener.settimeout(patience(10))
        proxy.says("accelerated")
        client, upstream = through(proxy, listener)
        with client, upstream:
            seen_waiting(client)
            to, back = Checker(1), Checker(2)
            for turn in range(200):
                size = 1 + 37 * turn
                client.sendall(Pattern(1).at(to.offset, size))
                to.feed(receive(upstream, size))
                upstream.sendall(Pattern(2).at(back.offset, size))
                back.feed(receive(client, size))
            (row,) = proxy.connections()
            for way, sent in (("forward", to.offset), ("backward", back.offset)):
                assert row[way]["pumped"] == sent
                assert row[way]["why"] == "one end is a Unix socket"
            assert row["why_not_short_circuited"] == "one end is a Unix socket"
            told = connections()[socket_cookie(client)]
            assert (told["state"], told["bypassed_bytes"]) == ("plain", 0)
            assert "the proxy in between lets nothing past" in told["why"]
