"""What a worker asks of the kernel, so that a test can put a fake in its place."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sockproxy.bpf.abi import Join, Refusal, SharedDirection

__all__ = ["Inspection", "Past", "ShortCircuit", "SpliceKernel"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """The state of one enrolled socket at one moment (struct inspection of bpf/abi/splice.h).

    Sequence numbers are TCP's own, modulo 2**32.
    """

    state: int
    write_seq: int
    snd_una: int
    rcv_nxt: int
    copied_seq: int
    backlog_skbs: int
    parser_used: bool
    parser_working: bool
    urgent: bool
    had_fin: bool


@dataclass(frozen=True, slots=True)
class Past:
    """What went past a proxy (struct join of bpf/abi/bypass.h), in bytes and messages; forward is
    from its client to its upstream.

    why_not: why nothing may, at this moment. busy: whether a message that may is on its way.
    unread: the far ends that have closed, and left unread what went past (bits of Role).
    """

    why_not: Refusal = Refusal.CLOSED
    busy: bool = False
    unread: int = 0
    forward_bytes: int = 0
    forward_messages: int = 0
    backward_bytes: int = 0
    backward_messages: int = 0

    @property
    def bytes(self) -> int:
        """Both ways."""
        return self.forward_bytes + self.backward_bytes


class ShortCircuit(Protocol):
    """An attached bypass, in which the two far ends of a proxied connection may be joined.

    name: of the bypass.
    """

    name: str

    stopped: bool
    """Whether it is detached: what went past is told, and no more will be."""

    def ask(self, action: Join, client: int, upstream: int) -> Past:
        """Do it, and tell how it stands then. From any thread; it takes some microseconds.

        client, upstream: SO_COOKIE of the proxy's own sockets to these. Raises SockproxyError.
        """


class SpliceKernel(Protocol):
    """The sockmaps of one splicer. Slots number its sockets, from 0.

    Every method may raise KernelError and its kin; what it had begun is then undone.
    """

    capacity: int
    """Sockets that can be enrolled at once."""

    def direction(self, slot: int) -> SharedDirection:
        """The struct direction of the bytes that come from `slot`, shared with BPF."""

    def enrol(self, sock: socket.socket, cookie: int) -> int:
        """Take over the slot that sock_ops gave the socket, or give it one, and a psock.

        cookie: its SO_COOKIE. The slot is the caller's to release. ENOSPC when all are taken.
        """

    def renew(self, slot: int, fd: int) -> bool:
        """Give the socket a new psock, for only a new one can start a strparser safely.

        What was redirected to the socket must have been sent, and nothing may be
        redirected to it meanwhile. False when the old psock is still in use.
        """

    def start(self, slot: int, fd: int) -> None:
        """Let the kernel take the socket's bytes, as its direction says."""

    def stop(self, slot: int) -> None:
        """Give the bytes back to user space. The strparser must have stopped by itself
        or be at the end of the stream: see sockproxy.worker.direction."""

    def release(self, slot: int, cookie: int) -> None:
        """Take the socket out of everything and free its slot."""

    def inspect(self, slot: int) -> Inspection | None:
        """The socket's state; None when it is in no map (reset or closed)."""

    def hold_events(self) -> int:
        """A descriptor that polls readable when directions were held."""

    def take_holds(self, receive: Callable[[int], None]) -> None:
        """Call `receive` with the slot of each direction held since the last call."""

    def enrolments(self) -> dict[str, int]:
        """What sock_ops counted, by the names of struct enrolment."""

    def watch_cgroup(self, fd: int) -> None:
        """Attach sock_ops to the cgroup whose directory is open at `fd`."""

    def close(self) -> None:
        """Release everything. Closing twice is allowed."""
