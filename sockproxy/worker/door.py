"""The door of the worker: all that a splicer or a proxy knows of the life of a connection.

Descriptors and limits go in; events, counters and a table of connections come out. A connection
crosses the door as a number and plain data, never as an object that moves bytes; nothing is
called for each byte; nothing is logged. Engine (sockproxy.worker.engine) is what stands behind it.

Threads: a worker has a loop, which its owner runs in a thread of his choice. All methods belong to
that thread, or come before it runs or after it has ended; but for read(), and the loop's call() and
stop(), which belong to every thread. Events are told on the loop's thread, never from within a
method of the worker other than close(). Where the bytes are moved is the worker's own affair.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sockproxy.bpf.seam import ShortCircuit, SpliceKernel
from sockproxy.worker.stats import PairStats, Reading, Sums

__all__ = [
    "MIB",
    "Accelerated",
    "Changed",
    "Ended",
    "Event",
    "Failed",
    "Limits",
    "Loop",
    "Side",
    "Tell",
    "Timer",
    "Worker",
]

MIB = 1 << 20
Side = Literal["forward", "backward"]
"""A direction: forward is from the client to the upstream."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may use, for as long as it lives.

    budget: bytes per direction that may lie between the two sockets, plus TCP's own buffers.
    eager: redirect whatever comes, not conversations alone.
    idle_timeout: seconds without a byte either way after which a connection is reset; None for
        no such limit. It is looked at twice a second.
    most_pipes: at once; None for as many as the system gives. A direction that has none copies.
    """

    budget: int = MIB
    eager: bool = False
    idle_timeout: float | None = None
    most_pipes: int | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """One direction of a connection changes hands in the midst of its stream.

    state: "redirect", when it has become a conversation and the kernel moves its bytes; "drain",
        when the kernel takes no more of them, and user space has them when all is sent.
    why: why not the kernel, such as "held: budget" or "urgent data"; "" in "redirect".
    """

    number: int
    side: Side
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class Failed:
    """One end of a connection has failed: what had come from it is being delivered, the other end
    is reset then, and Ended is told.

    end: "client" or "upstream". why: the error in words, such as "connection reset by peer".
    """

    number: int
    end: str
    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection has ended and its sockets are closed. Told once for each.

    stats: its last counters; their `outcome` is "finished", or says why it was reset.
    """

    stats: PairStats


Event = Changed | Failed | Ended
"""Those of one connection come in order, Ended last."""


class Tell(Protocol):
    """What receives the events of a worker; it must not raise."""

    def __call__(self, event: Event, /) -> None: ...


class Timer(Protocol):
    """A call that is due at some moment."""

    def cancel(self) -> None:
        """Never call. Twice is allowed, and after it was called."""


class Loop(Protocol):
    """What else the worker's thread does, for its owner: to accept, to connect, to wait."""

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler(events)` when the descriptor has one of the epoll `events`.

        Raises OSError when it cannot be watched.
        """

    def unwatch(self, fd: int) -> None:
        """Forget the descriptor, which must still be open. Twice is allowed."""

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once after `seconds`."""

    def call(self, call: Callable[[], None]) -> None:
        """From any thread, or a signal handler: have the loop's thread call. Nothing happens when
        the loop has been closed."""

    def run(self) -> None:
        """Serve in this thread until stop()."""

    def stop(self) -> None:
        """From any thread, or a signal handler: make run() return."""


class Accelerated(Protocol):
    """What connections are accelerated with, of one worker or of several."""

    @property
    def loop(self) -> Loop:
        """Runs what the owner has to do beside: to accept, to connect, to ask a doctor."""

    @property
    def kernel(self) -> SpliceKernel | None:
        """What accelerates the connections that are added now; None: they are relayed."""

    why_not: str
    """Why there is no kernel; "" where there is one. For the owner to set: a connection that is
    added meanwhile shows it as the reason for being relayed."""

    @property
    def circuits(self) -> Sequence[ShortCircuit]:
        """The bypasses in which conversations may be short-circuited."""

    @property
    def why_no_circuits(self) -> str:
        """Why there are none."""

    def set_circuits(self, circuits: Sequence[ShortCircuit], why_none: str = "") -> None:
        """Have these, for the connections that are added from now on. They stay their owner's, who
        may let go of them at any time."""

    def use(self, kernel: SpliceKernel) -> None:
        """Have a kernel for the connections that are added from now on; those before it stay
        as they are. Once. It is closed with the worker."""


class Worker(Accelerated, Protocol):
    """Connections from their pairing to their end."""

    def want(self, wanted: Collection[type[Event]]) -> None:
        """Tell events of these kinds alone, from now on."""

    def add(
        self,
        client: socket.socket,
        upstream: socket.socket,
        already_read: tuple[bytes, bytes] = (b"", b""),
        why_not_past: str = "",
    ) -> int:
        """Move bytes between two connected, non-blocking TCP sockets, which are the worker's now.

        already_read: bytes that were read from each of them; they go first, and count as pumped.
        why_not_past: why its conversation must not be short-circuited, as where one socket has
            sent what was not read from the other.

        Returns the connection's number, from 1 up, used once. Raises OSError when one of the
        sockets was never connected, or cannot be watched; both are still the caller's then. One
        that was reset is no error: what had come from it is delivered.
        """

    def drop(self, number: int, side: Side) -> None:
        """From now on throw away the bytes of one direction; its end still passes on. Nothing goes
        past us any more, and what did has arrived when bytes are thrown away. Nothing happens to a
        connection that has ended."""

    def abort(self, number: int, why: str) -> None:
        """Drop what is under way and reset both ends; `why` is the outcome. Nothing happens to a
        connection that has ended."""

    def stats(self, number: int) -> PairStats | None:
        """The counters of a connection, exactly as they are; None when it has ended."""

    @property
    def live(self) -> int:
        """How many connections there are."""

    def read(self) -> Reading:
        """All counters, from any thread, while the loop goes on: what is read may be a moment
        old. Sums agree with the bytes that were moved, as soon as these rest."""

    def sums(self) -> Sums:
        """The sums alone, from any thread."""

    def close(self) -> None:
        """After the loop has ended: reset what still lives (the outcome is "closed"), tell its
        events, and release everything, the kernel and the loop included. Once."""

    def before_fork(self) -> None:
        """By a thread that is about to fork; it may not be closed until after_fork()."""

    def after_fork(self) -> None:
        """In the parent."""

    def abandon(self) -> None:
        """In a forked child: release what is the child's, without a word to the connections,
        which are the parent's. Tells nothing. Instead of close()."""
