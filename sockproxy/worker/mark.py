"""Stopping the kernel where an urgent byte stands (RFC 9293, 3.8.5): at TCP's mark.

tcp_read_sock() reads up to that byte and no further, and a strparser with it: no parser is asked,
nobody is woken, and what comes behind it waits. Only recv(2) goes past it.
"""

from __future__ import annotations

import enum

from sockproxy.bpf.abi import Action, SharedDirection
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import at_urgent_mark, fence, kick
from sockproxy.worker.end import End

__all__ = ["Mark", "stop_at_mark"]


class Mark(enum.Enum):
    """Where a socket's urgent byte is."""

    NOWHERE = "nowhere"
    AHEAD = "ahead"
    REACHED = "reached"


def stop_at_mark(source: End, shared: SharedDirection) -> Mark:
    """Take the bytes of `source` back from the kernel, if an urgent one is the next of them.

    Where it is further ahead, the parser holds what stands before it from now on, and the hold
    is told as any other.

    Raises SockproxyError in the one case in which that is not exact: the next urgent byte moves the
    mark just now, the strparser goes on without its programs, against rule 1 of
    sockproxy.worker.direction, and drops what it takes.
    """
    seen = source.inspect()
    if seen is None or not seen.urgent:
        return Mark.NOWHERE
    shared.action = Action.HOLD
    fence(source.sock)
    if seen.parser_working or not at_urgent_mark(source.fd):
        kick(source.sock)
        return Mark.AHEAD
    before = source.inspect()
    source.stop()
    fence(source.sock)
    after = source.inspect()
    if before and after and before.copied_seq != after.copied_seq and not shared.held:
        raise SockproxyError("pass an urgent byte on", hint="two came at the same moment")
    return Mark.REACHED
