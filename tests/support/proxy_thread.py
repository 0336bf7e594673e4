"""A relaying proxy on threads of the test's own process."""

from __future__ import annotations

import select
import socket
import threading
from dataclasses import fields

from sockproxy.net.address import Address, parse_host
from sockproxy.proxy.options import ProxyOptions, ServiceOptions
from sockproxy.proxy.pool import Upstream
from sockproxy.proxy.proxy import Proxy
from tests.support.logs import Lines
from tests.support.scale import patience
from tests.support.sockets import eventually, receive

LISTEN = Address(socket.AF_INET, "127.0.0.1", 0)


class Running:
    """The proxy, and the lines of its log."""

    def __init__(self, hosts, **options):
        self._log = Lines("sockproxy")
        self.lines = self._log.lines
        usual = {"relay": True, "max_connections": 64, "workers": 2}
        of_service = {field.name for field in fields(ServiceOptions)}
        how = {name: options.pop(name) for name in options.keys() & of_service}
        service = ServiceOptions(**{"listen": (LISTEN,), "upstreams": tuple(hosts), **how})
        self.proxy = Proxy(ProxyOptions((service,), "unit", **{**usual, **options}))
        self.proxy.open()
        self.thread = threading.Thread(target=self.proxy.run)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxy.stop()
        self.proxy.stop()
        self.thread.join(patience(20))
        assert not self.thread.is_alive()
        self.proxy.close()
        self._log.close()

    def connect(self):
        client = socket.create_connection(self.proxy.listening[0].sockaddr, patience(20))
        client.settimeout(patience(20))
        return client

    def ready_of(self, listeners):
        """The place in `listeners` of the one who is about to get a client."""
        ready = select.select(listeners, [], [], patience(20))[0]
        assert len(ready) == 1, self.lines
        return listeners.index(ready[0])

    def serve_one(self, *listeners):
        """Have one client served; the place in `listeners` of who got it."""
        with self.connect() as client:
            number = self.ready_of(listeners)
            upstream, _ = listeners[number].accept()
            with upstream:
                client.sendall(b"?")
                assert receive(upstream, 1) == b"?"
            return number

    def told(self, text):
        """So far: what a worker counts, or a client sees, is told of a moment later."""
        return [line for line in self.lines if text in line]

    def has_told(self, text, times=1):
        """So often, and no more."""
        eventually(lambda: len(self.told(text)) >= times)
        assert len(self.told(text)) == times, self.lines


def host(listener, **terms):
    """It, as --upstream would name it."""
    return Upstream(parse_host("{}:{}".format(*listener.getsockname())), **terms)


def has_refused(running, expected):
    """By why, so many clients; each is told of a moment later."""
    eventually(lambda: running.proxy.clients.refused_for == expected)
