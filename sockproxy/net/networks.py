"""Networks as people write them, ``10.0.0.0/8`` or an address, and as they are searched."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from itertools import chain

from sockproxy.errors import UsageError

__all__ = ["MAPPED", "Network", "parse_network", "wide_network", "wide_networks"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""Where IPv4 is within IPv6."""


def parse_network(text: str) -> Network:
    """A network, or an address alone. Raises UsageError."""
    if "%" in text:
        raise UsageError(f"network {text!r}", hint="leave out the zone: none is looked at")
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    hint = "write a network such as 10.0.0.0/8 or 2001:db8::/32, or an address"
    try:
        hint = f"write {ipaddress.ip_network(text, strict=False)}: it has bits behind its prefix"
    except ValueError:
        pass
    raise UsageError(f"network {text!r}", hint=hint)


def wide_networks(networks: Iterable[Network]) -> list[ipaddress.IPv6Network]:
    """All of them, IPv4 as it is mapped into IPv6: in order, and none within another. Who writes
    ::/0 does not mean IPv4."""
    return list(ipaddress.collapse_addresses(chain.from_iterable(map(_wide, networks))))


def wide_network(network: Network) -> ipaddress.IPv6Network:
    """The same, or of IPv4 as it is mapped into IPv6."""
    if isinstance(network, ipaddress.IPv6Network):
        return network
    first = int(MAPPED.network_address) + int(network.network_address)
    return ipaddress.IPv6Network((first, MAPPED.prefixlen + network.prefixlen))


def _wide(network: Network) -> Iterable[ipaddress.IPv6Network]:
    wide = wide_network(network)
    if wide != MAPPED and MAPPED.subnet_of(wide):
        return wide.address_exclude(MAPPED)
    return [wide]
