"""The library: splice two connected sockets of the caller."""

from __future__ import annotations

import os
import socket
import threading
import weakref
from pathlib import Path
from types import TracebackType

from sockproxy.cgroup import Cgroup
from sockproxy.errors import UsageError
from sockproxy.splicer.acceleration import Acceleration
from sockproxy.splicer.short_circuits import ShortCircuits
from sockproxy.splicer.sockets import check_socket, read_ahead, take_over
from sockproxy.splicer.splice import Splice
from sockproxy.worker.door import MIB, Ended, Event, Limits, Worker
from sockproxy.worker.engine import Engine

__all__ = ["Splicer"]

LONGEST_WAIT = 180.0  # seconds; doctor has an end of its own before


class Splicer:
    """Splices pairs of connected TCP sockets, in the kernel wherever that is exact.

        with sockproxy.Splicer() as splicer:
            splice = splicer.splice(client, upstream)
            print(splice.wait())

    pairs: how many may run accelerated at once; more are relayed in user space.
    budget: bytes per direction that may lie between the two sockets (plus TCP's own
        buffers); the sender blocks beyond it.
    relay: True to keep everything in user space.
    eager: True to redirect from the first byte, for measurements; by default a direction
        is redirected once it has carried a few small bursts, as a conversation does.
    parser: False for the verdict-only path, for measurements: it is neither exact nor
        bounded (docs/decisions/0002-parser-path.md), and so takes force.
    force: True to use what loads even where `sockproxy doctor` found it off.
    wait: the first splicer after a boot has doctor find out what the kernel can do, which
        takes some seconds, and up to a minute on a busy machine. False not to wait for that:
        pairs are relayed meanwhile. Either way one that has not found out asks again in the
        background, and accelerates the pairs that are made after that.

    short_circuit: a cgroup v2 directory in which the sockets that will be spliced are opened, and
        no others; None for none. Conversations whose two far ends are in an attached bypass then
        go past the splice: `Splice.short_circuited`. Both sockets must be fresh: nothing was sent
        on them, and nothing read but what is given as already_read.

    Where the machine cannot accelerate, or not yet, pairs are relayed and `why_not` says why.

    A forked child has no part in it: there the splicer is closed, and its descriptors are, while
    the parent's splices go on undisturbed. The child may make a splicer of its own.
    """

    def __init__(
        self,
        *,
        pairs: int = 1024,
        budget: int = MIB,
        relay: bool = False,
        eager: bool = False,
        parser: bool = True,
        force: bool = False,
        wait: bool = True,
        short_circuit: str | os.PathLike[str] | None = None,
    ) -> None:
        if pairs < 1 or budget < 4096:
            raise UsageError("a splicer needs at least 1 pair and a budget of 4096 bytes")
        if short_circuit is not None and (relay or not parser):
            raise UsageError("short_circuit goes with neither relay nor the verdict-only path")
        self._worker: Worker = Engine(Limits(budget=budget, eager=eager), self._on_event, (Ended,))
        tried = threading.Event()
        self._acceleration = Acceleration(
            self._worker, pairs, parser=parser, force=force, tried=tried.set
        )
        self._circuits = None
        if short_circuit is not None:
            self._circuits = ShortCircuits(self._worker, Cgroup(Path(short_circuit)))
        self._running: dict[int, Splice] = {}  # by the worker's numbers
        self._splices: weakref.WeakSet[Splice] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._worker.loop.run, name="splicer", daemon=True)
        self._closed = False
        self._released = False  # and nothing is left of it
        self._gate = threading.Lock()  # of one who closes while another splices
        _splicers.add(self)
        try:
            if self._circuits is not None:
                self._circuits.look()
            if not relay:
                self._acceleration.begin()
            self._thread.start()
            if wait and not relay:
                tried.wait(LONGEST_WAIT)
        except BaseException:  # Ctrl-C, while it waits
            self.close()
            raise

    @property
    def accelerated(self) -> bool:
        """Whether this machine accelerates the pairs that are made now."""
        return self._worker.kernel is not None

    @property
    def why_not(self) -> str:
        """Why it does not; "" where it does."""
        return self._worker.why_not

    def splice(
        self,
        a: socket.socket,
        b: socket.socket,
        *,
        already_read: tuple[bytes, bytes] = (b"", b""),
    ) -> Splice:
        """Move bytes between two connected stream sockets until both directions end.

        What was not read yet (even if peeked at) is moved too. The sockets belong to
        the splice from now on: the caller's objects are closed, as by detach(), and the
        connections end when both directions have, or with a reset when one end is.

        already_read: bytes that the caller has read from `a`, and from `b`, and that the other
            is still to get: they go before all else, and count as pumped.

        Raises UsageError for a socket that is not a connected TCP socket, and for one with TLS.
        """
        ahead = read_ahead(already_read)
        for sock in (a, b):
            check_socket(sock)
        if a.fileno() == b.fileno():
            raise UsageError("splice a socket with itself")
        with self._gate:
            if self._closed:
                raise UsageError("splice with a closed splicer")
            splice = Splice(self._worker, (take_over(a), take_over(b)))
            self._splices.add(splice)
            self._worker.loop.call(lambda: self._start(splice, ahead))  # it does before it stops
        return splice

    def _start(self, splice: Splice, ahead: tuple[bytes, bytes]) -> None:
        if number := splice._start(ahead):
            self._running[number] = splice

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Ended):
            self._running.pop(event.stats.number)._end(event.stats)

    def close(self) -> None:
        """Reset what still runs and release everything. Closing twice is allowed."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
        if self._thread.ident is not None:
            self._worker.loop.stop()
            self._thread.join()
        self._acceleration.close()
        self._worker.close()
        self._released = True
        if self._circuits is not None:
            self._circuits.close()

    def _abandon(self) -> None:
        """In a forked child: the parent's connections are not held, nor told anything."""
        if not self._released:
            self._closed = self._released = True
            self._gate = threading.Lock()  # a thread that is not there may hold the other
            self._worker.abandon()
            if self._circuits is not None:
                self._circuits.abandon()
            for splice in self._splices:
                splice._abandon()

    def __enter__(self) -> Splicer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_splicers: weakref.WeakSet[Splicer] = weakref.WeakSet()


_forking: list[Splicer] = []
_forks = threading.Lock()  # one at a time


def _before_fork() -> None:
    _forks.acquire()
    _forking[:] = [splicer for splicer in _splicers if not splicer._released]
    for splicer in _forking:
        splicer._worker.before_fork()


def _after_fork_in_parent() -> None:
    for splicer in _forking:
        splicer._worker.after_fork()
    _forking.clear()
    _forks.release()


def _after_fork_in_child() -> None:
    global _forks
    _forks = threading.Lock()
    _forking.clear()
    for splicer in list(_splicers):
        splicer._abandon()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
