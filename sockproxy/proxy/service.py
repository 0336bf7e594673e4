"""A service of a proxy: where it listens, and where its clients go."""

from __future__ import annotations

from sockproxy.net.address import Address
from sockproxy.net.systemd import Passed
from sockproxy.net.tcp import spared_pacing
from sockproxy.proxy.listeners import Listeners
from sockproxy.proxy.options import ServiceOptions
from sockproxy.proxy.outgoing import options_of_clients, options_of_upstreams, way_out_of_a_loop
from sockproxy.proxy.upstreams import Upstreams
from sockproxy.worker.accept import Acceptor
from sockproxy.worker.door import Loop

__all__ = ["ProxyService"]


class ProxyService:
    """Its listening sockets and its upstreams. All methods belong to the loop's thread, or come
    before it runs or after it has ended.

    listening: its addresses, with the ports that they have. Raises PermissionDenied when sockets
    may not be marked.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options
        self.listening: list[Address] = []
        self.upstreams = Upstreams(options.upstreams)
        nodelay, keepalive = options.nodelay, options.keepalive
        self._to_upstreams = options_of_upstreams(
            options.mark, nodelay=nodelay, keepalive=keepalive
        )
        self._listeners = Listeners(options_of_clients(nodelay=nodelay, keepalive=keepalive))

    def open(self, acceptor: Acceptor, loop: Loop) -> None:
        """Be one of the acceptor's. Raises OSError."""
        options = self.options
        self._served = acceptor.serve(
            timeout=options.connect_timeout,
            original=not options.upstreams,
            options=self._to_upstreams,
            here=spared_pacing(),
        )
        self.upstreams.open(loop, self._served)

    def bind(self) -> None:
        """Listen, but accept nobody yet. Raises SockproxyError."""
        for each in self.options.listen:
            if isinstance(each, Passed):
                self.listening += self._listeners.adopt(each)
            else:
                self.listening.append(self._listeners.bind(each))

    def accept(self) -> None:
        """Have clients accepted from now on. Raises OSError."""
        for sock in self._listeners.sockets:
            self._served.listen(sock)

    def stop_listening(self) -> None:
        """When nobody is accepted any more. Twice is allowed."""
        self._listeners.close()

    @property
    def way_out_of_a_loop(self) -> str:
        """What to do when one of its connections comes back."""
        has_upstreams = bool(self.options.upstreams)
        return way_out_of_a_loop(self.options.mark, has_upstreams=has_upstreams)
