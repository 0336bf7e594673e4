"""Rules that say which connections a bypass may touch: ports or networks, as people write them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from sockproxy.errors import UsageError
from sockproxy.net.networks import MAPPED, wide_network

__all__ = ["Rule", "parse_rule"]

_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Rule:
    """Matches a connection of which either end is in the network and either has a port.

    network: IPv6; an IPv4 network is v4-mapped, ::ffff:0:0/96 and longer.
    ports: first and last. only_ipv6: v4-mapped addresses do not match, though the network holds
    them: a user who writes ::/0 does not mean IPv4.
    """

    deny: bool
    network: ipaddress.IPv6Network
    ports: tuple[int, int]
    only_ipv6: bool = False

    def __str__(self) -> str:
        action = "deny" if self.deny else "allow"
        if self.ports != (0, 65535) or not (self.only_ipv6 or self.network.prefixlen):
            first, last = self.ports
            return f"{action} {first}" if first == last else f"{action} {first}-{last}"
        mapped = self.network.network_address.ipv4_mapped
        if mapped is not None and self.network.prefixlen >= MAPPED.prefixlen:
            return f"{action} {mapped}/{self.network.prefixlen - MAPPED.prefixlen}"
        return f"{action} {self.network}"


def parse_rule(text: str, *, deny: bool) -> Rule:
    """Parse ``80``, ``8000-8999``, ``10.0.0.0/8`` or ``::1``. Raises UsageError.

    A network of IPv6 matches no address of IPv4, not even ``::/0``.
    """
    found = _PORTS.fullmatch(text)
    if found:
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last <= 65535:
            raise UsageError(f"ports {text!r}", hint="write a port, or FIRST-LAST, up to 65535")
        return Rule(deny, ipaddress.IPv6Network("::/0"), (first, last))
    try:
        network = wide_network(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise UsageError(
            f"rule {text!r}", hint="write ports such as 80 or 8000-8999, or a network in CIDR"
        ) from None
    return Rule(deny, network, (0, 65535), network.prefixlen < MAPPED.prefixlen)
