"""The rules by which a service has clients: ``native/rules.h``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sockproxy.native import check, ffi, load_native
from sockproxy.net.networks import Network, wide_networks
from sockproxy.units import Rate

__all__ = ["NO_RULES", "Rules"]

NONE = -1  # of a time


@dataclass(frozen=True, slots=True)
class Rules:
    """Times are in seconds.

    allow: only these may be clients; empty for all. deny: these may not, also where they are
        allowed. Who is meant is the client that a PROXY header tells of, where there is one.
    accept_proxy: who says first, by the PROXY protocol, who the client is; nobody else does.
    max_per_client: of one host at once; None for any number. A host is one IPv4 address or one
        IPv6 network of 64 bits.
    rate_per_client: so many of one host in so many seconds, which may come at once.
    hello_timeout: until a client has said what is to be heard first.
    idle_timeout: without a byte either way; None for what the worker's limits say.
    lifetime: of a connection, after which it is reset; None for no end of it.
    only_routes: there are no upstreams for clients without a route.
    """

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    accept_proxy: tuple[Network, ...] = ()
    max_per_client: int | None = None
    rate_per_client: Rate | None = None
    hello_timeout: float = 5.0
    idle_timeout: float | None = None
    lifetime: float | None = None
    only_routes: bool = False

    def tell(self, worker: Any, service: int) -> None:
        """The native worker of them, before its service listens. Raises OSError."""
        lib = load_native()
        for which, networks in (
            (lib.NETWORKS_ALLOWED, self.allow),
            (lib.NETWORKS_DENIED, self.deny),
            (lib.NETWORKS_TRUSTED, self.accept_proxy),
        ):
            wide = _native(networks)
            check(lib.worker_set_networks(worker, service, which, wide, len(wide)))
        rate = self.rate_per_client
        interval = max(1, _ns(rate.seconds / rate.count)) if rate else 0
        burst = rate.count if rate else 0
        check(lib.worker_limit_hosts(worker, service, self.max_per_client or 0, interval, burst))
        times = _ns(self.idle_timeout), _ns(self.lifetime)
        check(lib.worker_limit_times(worker, service, *times))
        check(lib.worker_set_patience(worker, service, _ns(self.hello_timeout)))
        if self.only_routes:
            check(lib.worker_only_route(worker, service))


NO_RULES = Rules()
"""Everybody may be a client, for as long as the worker's limits allow."""


def _ns(seconds: float | None) -> int:
    return NONE if seconds is None else int(seconds * 1e9)


def _native(networks: Iterable[Network]) -> Any:
    """An array of struct network."""
    wide = wide_networks(networks)
    made = ffi.new("struct network[]", len(wide))
    for one, network in zip(made, wide, strict=True):
        ffi.memmove(one.first, network.network_address.packed, 16)
        one.bits = network.prefixlen
    return made
