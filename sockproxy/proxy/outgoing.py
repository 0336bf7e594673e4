"""The proxy's connections to upstreams: their options, and what to do when they come back."""

from __future__ import annotations

import socket

from sockproxy.errors import PermissionDenied
from sockproxy.net.tcp import EVERY_END, Option, kept_alive, marked, set_options, undelayed

__all__ = [
    "WAY_OUT_OF_A_UNIX_LOOP",
    "options_of_clients",
    "options_of_upstreams",
    "way_out_of_a_loop",
]

WAY_OUT_OF_A_UNIX_LOOP = (
    "refused a connection of this proxy that came back to it by a Unix socket; choose another"
    " --upstream"
)


def options_of_clients(*, nodelay: bool, keepalive: int | None) -> tuple[Option, ...]:
    """keepalive: seconds; None for the system's default."""
    return (*undelayed(nodelay), *(kept_alive(keepalive) if keepalive is not None else ()))


def options_of_upstreams(
    mark: int | None, *, nodelay: bool, keepalive: int | None
) -> tuple[Option, ...]:
    """mark: the SO_MARK of the sockets. Raises PermissionDenied when they may not be marked."""
    options = (*options_of_clients(nodelay=nodelay, keepalive=keepalive), *EVERY_END)
    if mark is None:
        return options
    with socket.socket() as sock:  # now, and not with the first client
        try:
            set_options(sock, marked(mark))
        except PermissionError as error:
            raise PermissionDenied(
                f"mark a socket with {mark}", errno=error.errno, hint="it takes CAP_NET_ADMIN"
            ) from None
    return (*options, *marked(mark))


def way_out_of_a_loop(mark: int | None, *, has_upstreams: bool) -> str:
    """What to do when a connection of the proxy was redirected to it."""
    option = f"--mark {mark or 1} and " if mark is None else ""
    other = ", or choose another --upstream" if has_upstreams else ""
    return (
        "refused a connection of this proxy that came back to it; exclude them with"
        f" {option}'iptables -t nat -I OUTPUT -p tcp -m mark --mark {mark or 1} -j RETURN'{other}"
    )
