"""A service of a proxy: where it listens, and where its clients go."""

from __future__ import annotations

from dataclasses import replace

from sockproxy.net.address import Address
from sockproxy.net.tcp import spared_pacing
from sockproxy.net.unix import is_unix
from sockproxy.proxy.check import Way, header_of_checks
from sockproxy.proxy.listeners import Listeners
from sockproxy.proxy.options import BALANCES, ServiceOptions
from sockproxy.proxy.outgoing import (
    WAY_OUT_OF_A_UNIX_LOOP,
    options_of_clients,
    options_of_upstreams,
    way_out_of_a_loop,
)
from sockproxy.proxy.takeover import Taken
from sockproxy.proxy.upstreams import Upstreams
from sockproxy.worker.accept import Acceptor
from sockproxy.worker.door import Loop
from sockproxy.worker.rules import Rules

__all__ = ["ProxyService"]


class ProxyService:
    """Its listening sockets and its upstreams. All methods belong to the loop's thread, or come
    before it runs or after it has ended.

    Raises PermissionDenied when sockets may not be marked.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options
        self._to_upstreams = options_of_upstreams(
            options.mark, nodelay=options.nodelay, keepalive=options.keepalive
        )
        way = Way(self._to_upstreams, header_of_checks(options.send_proxy))
        self.upstreams = Upstreams(options.pool, options.name, way)
        self.listeners = self.new_listeners()
        self._routed = _routed(self)

    def new_listeners(self) -> Listeners:
        """None yet, whose clients' sockets will have the options of this service."""
        options = self.options
        of_clients = options_of_clients(nodelay=options.nodelay, keepalive=options.keepalive)
        return Listeners(of_clients, options.unix_mode)

    def open(self, acceptor: Acceptor, loop: Loop) -> None:
        """Be one of the acceptor's. Raises OSError."""
        options = self.options
        self._acceptor = acceptor
        self._served = acceptor.serve(
            timeout=options.connect_timeout,
            original=options.is_original,
            balance=BALANCES[options.balance],
            send_proxy=options.send_proxy,
            rules=options.rules,
            options=self._to_upstreams,
            here=spared_pacing(),
        )
        self.upstreams.open(loop, self._served)
        for to in self.parts[1:]:
            to.open(acceptor, loop)
        for name, to in self._routed.items():
            self._served.route(name, to._served)

    @property
    def parts(self) -> list[ProxyService]:
        """Itself, and what its clients have instead by the name that they ask for."""
        others = (each for each in self._routed.values() if each is not self)
        return [self, *dict.fromkeys(others)]

    def go_on_from(self, before: ProxyService) -> None:
        """Before open(): what is known there of upstreams is known here as well."""
        self.upstreams.go_on_from(before.upstreams)
        for name, to in self._routed.items():
            if name in before._routed and to is not self:
                to.upstreams.go_on_from(before._routed[name].upstreams)

    def begin(self) -> None:
        """Look after the upstreams: the loop runs."""
        for each in self.parts:
            each.upstreams.begin()

    def close(self) -> None:
        """Look after them no more. Twice is allowed."""
        for each in self.parts:
            each.upstreams.close()

    @property
    def number(self) -> int:
        """By which its clients are told of."""
        return self._served.number

    def bind(self, taken: Taken) -> None:
        """Listen, but accept nobody yet. taken: sockets that are there already, from which those
        are removed that this one has then. Raises SockproxyError."""
        for each in self.options.listen:
            there = next((found for found in taken if found[0] == str(each)), None)
            if there is not None:
                taken.remove(there)
                self.listeners.put(each, there[1], foreign=True)
            else:
                self.listeners.open(each)

    def accept(self) -> None:
        """Have clients accepted from now on; those of sockets that another service had are this
        one's then. Raises OSError."""
        for sock in self.listeners:
            self._served.listen(sock)

    def stop_listening(self) -> None:
        """Accept nobody any more, and listen no more. Twice is allowed."""
        for sock in self.listeners:
            self._acceptor.unlisten(sock)
        self.listeners.close()

    def change(self, options: ServiceOptions) -> None:
        """Do what these say, as may_stay() allows, with the sockets and upstreams that it has.
        Raises OSError."""
        self.options = options
        self.accept()

    def may_stay(self, options: ServiceOptions) -> bool:
        """Whether it can do what these say, with other upstreams and in other places."""
        now = self.options
        as_now = replace(options.with_pool(now.pool), listen=now.listen)
        if options.pool != now.pool and (
            self in self._routed.values() or any(each.pool == options.pool for each in now.routes)
        ):
            return False  # what a route has is not to change under it, and is to be shared with it
        return as_now == now and options.is_original == now.is_original

    @property
    def label(self) -> str:
        """By which people know it."""
        return self.options.name or str(self.options.listen[0])

    @property
    def listening(self) -> list[Address]:
        """Its addresses, with the ports that they have."""
        return list(self.listeners.addresses)

    def way_out_of_a_loop(self, peer: tuple[str, int]) -> str:
        """What to do when one of its connections comes back, from there."""
        if is_unix(peer[0]):
            return WAY_OUT_OF_A_UNIX_LOOP
        has_upstreams = bool(self.options.upstreams)
        return way_out_of_a_loop(self.options.mark, has_upstreams=has_upstreams)


def _routed(service: ProxyService) -> dict[str, ProxyService]:
    """Whose the clients are that ask for a name. Routes to the same upstreams share them: what is
    known of one, and who resolves its name."""
    options = service.options
    by_pool = {} if options.rules.only_routes else {options.pool: service}
    # They have been admitted.
    rules = Rules(idle_timeout=options.rules.idle_timeout, lifetime=options.rules.lifetime)
    routed = {}
    for route in options.routes:
        if route.pool not in by_pool:
            theirs = replace(options.with_pool(route.pool), listen=(), routes=(), rules=rules)
            by_pool[route.pool] = ProxyService(theirs)
        routed.update(dict.fromkeys(route.names, by_pool[route.pool]))
    return routed
