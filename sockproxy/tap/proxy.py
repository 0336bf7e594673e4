"""A tap on a proxy: what TCP hands to its sockets and takes from them, redirected or not.

Both sides of a connection are TCP, and so the headers tell what TCP's did, but for their checksums.
The sockets are known by the cgroup that a proxy makes for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from sockproxy.bpf.abi import Way
from sockproxy.bpf.packets import Packet, PacketTap
from sockproxy.cgroup import Cgroup, find_by_id
from sockproxy.errors import SockproxyError
from sockproxy.net.rules import Rule
from sockproxy.proxy.asking import ask
from sockproxy.tap.segment import Segment

__all__ = ["ProxyTap"]

COMMENTS = {
    Way.SENT: "sent",
    Way.RECEIVED: "received by the proxy",
    Way.TAKEN: "received by the kernel for the proxy",
}


class ProxyTap:
    """A Source. rules: which connections; none for all. size: bytes of memory. tell: is given a
    line where not all connections are seen. Raises SockproxyError."""

    GONE = "its process has ended, or has left its cgroup; 'tap' anew where another took its place"

    def __init__(
        self, name: str, rules: Collection[Rule], size: int, tell: Callable[[str], None]
    ) -> None:
        status = ask(name, "status")
        self._cgroup = _cgroup_of(name, int(status.get("cgroup_id") or 0), status["why_no_cgroup"])
        if status.get("listens_on_foreign"):
            tell(f"{name} has a socket that was opened elsewhere: who comes in there is not seen")
        with self._cgroup.opened() as fd:
            self._tap = PacketTap(fd, rules, size)

    def take(self, *, everything: bool) -> Iterator[Segment]:
        for packet in self._tap.take(everything=everything):
            yield _segment(packet)

    def is_there(self) -> bool:
        return bool(self._cgroup.processes())

    @property
    def lost(self) -> int:
        return self._tap.lost

    def close(self) -> None:
        self._tap.close()


def _cgroup_of(name: str, number: int, why_not: str) -> Cgroup:
    """The one that is the proxy's own, by its number: the proxy may see another hierarchy."""
    found = find_by_id([number]) if number else {}
    if not found:
        why = f"its cgroup is not in sight, or {name} has ended" if number else why_not
        raise SockproxyError(
            f"tap {name}: {why or 'it only relays, and has no cgroup of its own'}",
            hint="tcpdump sees both sides of its connections",
        )
    return found[number]


def _segment(packet: Packet) -> Segment:
    return Segment(
        when=packet.when,
        source=packet.source,
        target=packet.target,
        number=packet.number,
        acknowledged=packet.acknowledged,
        flags=packet.flags,
        window=packet.window,
        comment=COMMENTS[packet.way],
        data=packet.data,
    )
