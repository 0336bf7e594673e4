"""A tap on a bypass: what its sockets send, with headers of TCP that were never sent.

A segment's number is the count of what its socket had sent before, from 1 on, and it acknowledges
all that was seen of the other end: so Wireshark follows the stream, and finds what is missing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator

from dpkt import tcp

from sockproxy.bpf.tap import Piece, Tap
from sockproxy.net.rules import Rule
from sockproxy.rundir import pins, sight
from sockproxy.tap.segment import Segment

__all__ = ["BypassTap"]

MOST_ENDS = 65536  # sockets of which it is known how much they sent
COMMENTS = {False: "past TCP", True: "by TCP"}
FIRST = 1  # the number of the first byte, as if a SYN had come before
WINDOW = 65535
FLAGS = tcp.TH_ACK | tcp.TH_PUSH

Ends = tuple[tuple[str, int], tuple[str, int]]


class BypassTap:
    """A Source. rules: which connections; none for all. size: bytes of memory. tell: is given a
    line where something about the places of bypasses is to be known. Raises SockproxyError."""

    GONE = "it was detached"

    def __init__(
        self, name: str, rules: Collection[Rule], size: int, tell: Callable[[str], None]
    ) -> None:
        self._name = name
        self._sent: OrderedDict[Ends, int] = OrderedDict()
        with pins.opened(name, tell) as folder:
            self._tap = Tap(name, folder, rules, size)

    def take(self, *, everything: bool) -> Iterator[Segment]:
        for piece in self._tap.take(everything=everything):
            yield self._segment(piece)

    def is_there(self) -> bool:
        return self._name in sight.names()

    @property
    def lost(self) -> int:
        return self._tap.lost

    def close(self) -> None:
        self._tap.close()

    def _segment(self, piece: Piece) -> Segment:
        ends = piece.local, piece.remote
        self._sent[ends] = max(self._sent.get(ends, 0), piece.at + len(piece.data))
        self._sent.move_to_end(ends)
        if len(self._sent) > MOST_ENDS:
            self._sent.popitem(last=False)
        return Segment(
            when=piece.when,
            source=piece.local,
            target=piece.remote,
            number=_number(piece.at),
            acknowledged=_number(self._sent.get((piece.remote, piece.local), 0)),
            flags=FLAGS,
            window=WINDOW,
            comment=COMMENTS[piece.by_tcp],
            data=piece.data,
        )


def _number(sent: int) -> int:
    """The sequence number behind so many bytes."""
    return (FIRST + sent) & 0xFFFFFFFF
