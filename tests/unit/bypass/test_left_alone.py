"""What listens already is found, whatever comes and goes meanwhile."""

from __future__ import annotations

import os
import socket

from sockproxy.bypass import left_alone
from sockproxy.net.listening import listeners


def test_a_listener_that_closes_meanwhile_hides_no_other(monkeypatch):
    netns = os.stat("/proc/self/ns/net").st_ino
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        ports = [each.getsockname()[1] for each in (one, other)]

        def close_meanwhile(pid):
            found = sorted(listeners(pid), key=lambda each: each[0] != ports[0])
            one.close()
            yield from found

        monkeypatch.setattr(left_alone, "listeners", close_meanwhile)
        found = dict(left_alone._listening(os.getpid()))
    assert found[netns, ports[1]]
    assert found[netns, ports[0]], "nothing tells that it does not block"
