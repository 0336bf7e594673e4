"""The library: splice two connected sockets of the caller."""

from __future__ import annotations

import concurrent.futures
import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import Future
from types import TracebackType
from typing import Literal

from sockproxy.errors import SockproxyError, UsageError
from sockproxy.net.address import peer_address
from sockproxy.net.tcp import close_with_reset, keep_every_end
from sockproxy.splicer.acceleration import Acceleration
from sockproxy.worker.engine import MIB, Engine
from sockproxy.worker.pair import Pair
from sockproxy.worker.stats import PairStats

__all__ = ["Splice", "Splicer"]

LONGEST_WAIT = 180.0  # seconds; doctor has an end of its own before
Side = Literal["forward", "backward"]


class Splice:
    """A running splice of sockets `a` and `b`; any thread may use it.

    forward is the direction from a to b, backward the one from b to a. In asyncio,
    ``await splice`` waits as wait() does.
    """

    def __init__(self, engine: Engine, sockets: tuple[socket.socket, socket.socket]) -> None:
        self._engine = engine
        self._sockets = sockets
        self._pair: Pair | None = None
        self._done: Future[PairStats] = Future()

    def wait(self, timeout: float | None = None) -> PairStats:
        """Wait until both directions have ended, or the pair was reset; the counters.

        timeout: seconds; TimeoutError when they pass first. The result's `outcome` is
        "finished", or says why the pair was reset.
        """
        return self._done.result(timeout)

    def __await__(self) -> Generator[None, None, PairStats]:
        import asyncio  # here, as it takes longer to import than all else, and few need it

        # shield: to cancel one who waits must not end the splice for the others.
        return asyncio.shield(asyncio.wrap_future(self._done)).__await__()

    def done(self) -> bool:
        """Whether the splice has ended."""
        return self._done.done()

    def stats(self) -> PairStats:
        """Counters and states as they are now."""
        return self._tell(lambda pair: None)

    def drop(self, direction: Side) -> None:
        """From now on throw away the bytes of `direction`; its end still passes on."""
        if direction not in ("forward", "backward"):
            raise UsageError(f"drop {direction!r}", hint="the directions are forward and backward")
        self._tell(lambda pair: getattr(pair, direction).drop())

    def abort(self) -> None:
        """Drop what is under way and reset both connections. Twice is allowed."""
        self._tell(lambda pair: pair.abort("aborted"))

    def _start(self, already_read: tuple[bytes, bytes]) -> None:
        """On the loop's thread."""
        a, b = self._sockets
        try:
            self._pair = self._engine.add(
                a, b, lambda pair: self._done.set_result(pair.stats()), already_read
            )
        except OSError as error:
            for sock in (a, b):  # an end would look like the end of the stream
                close_with_reset(sock)
            self._done.set_exception(error)

    def _abandon(self) -> None:
        """In a forked child."""
        for sock in self._sockets:
            sock.close()
        self._done = Future()  # the old one's lock may be held by a thread that is not here
        if self._pair is not None and self._pair.outcome is not None:
            self._done.set_result(self._pair.stats())
        else:
            self._done.set_exception(SockproxyError("the splice is the parent process's"))

    def _tell(self, do: Callable[[Pair], None]) -> PairStats:
        """Do something with the pair on the loop's thread; the counters after it."""
        answer: Future[PairStats] = Future()

        def act() -> None:
            pair = self._pair
            if pair is not None and pair.outcome is None:
                do(pair)
            if pair is not None:
                answer.set_result(pair.stats())
            else:
                answer.set_exception(self._done.exception() or SockproxyError("splicer closed"))

        if self._done.done():
            return self._done.result()
        self._engine.loop.call(act)
        # The splicer may close meanwhile; its end of the pair is an answer as well.
        concurrent.futures.wait(
            (answer, self._done), return_when=concurrent.futures.FIRST_COMPLETED
        )
        return answer.result() if answer.done() else self._done.result()


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
    ) -> None:
        if pairs < 1 or budget < 4096:
            raise UsageError("a splicer needs at least 1 pair and a budget of 4096 bytes")
        self._engine = Engine(None, budget=budget, eager=eager)
        tried = threading.Event()
        self._acceleration = Acceleration(
            self._engine, pairs, parser=parser, force=force, tried=tried.set
        )
        self._splices: weakref.WeakSet[Splice] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._engine.loop.run, name="splicer", daemon=True)
        self._closed = False
        self._gate = threading.Lock()  # of one who closes while another splices
        _splicers.add(self)
        try:
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
        return self._engine.kernel is not None

    @property
    def why_not(self) -> str:
        """Why it does not; "" where it does."""
        return self._engine.why_not

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
            splice = Splice(self._engine, (take_over(a), take_over(b)))
            self._splices.add(splice)
            self._engine.loop.call(lambda: splice._start(ahead))  # which it does before it stops
        return splice

    def close(self) -> None:
        """Reset what still runs and release everything. Closing twice is allowed."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
        if self._thread.ident is not None:
            self._engine.loop.stop()
            self._thread.join()
        self._acceleration.close()
        self._engine.close()

    def _abandon(self) -> None:
        """In a forked child: the parent's connections are not held, nor told anything."""
        if not self._closed:
            self._closed = True
            self._gate = threading.Lock()  # a thread that is not there may hold the other
            self._engine.abandon()
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


def _after_fork_in_child() -> None:
    for splicer in list(_splicers):
        splicer._abandon()


os.register_at_fork(after_in_child=_after_fork_in_child)


def check_socket(sock: socket.socket) -> None:
    """Raise UsageError unless `sock` is a connected TCP socket, without TLS."""
    if not isinstance(sock, socket.socket):
        raise UsageError(
            f"splice a {type(sock).__name__}",
            hint="give a socket.socket; sockproxy.detach_stream() has that of an asyncio stream",
        )
    # Who has such a socket has imported ssl, which takes its time.
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(sock, ssl.SSLSocket):
        raise UsageError(
            "splice a socket with TLS",
            hint="its bytes are encrypted in user space: splice where TLS passes through, or copy"
            " with recv() and sendall()",
        )
    try:
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
            raise UsageError("splice something other than a TCP socket")
        peer_address(sock)
    except OSError as error:
        raise UsageError(
            "splice a socket", errno=error.errno, hint="both sockets must be open and connected"
        ) from None


def read_ahead(already_read: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """A copy of both. Raises UsageError for what is no pair of bytes."""
    try:
        first, second = already_read
        return bytes(memoryview(first)), bytes(memoryview(second))
    except (TypeError, ValueError):
        raise UsageError(
            "already_read", hint="give the bytes read from a, and those from b: (b'...', b'')"
        ) from None


def take_over(sock: socket.socket) -> socket.socket:
    """A non-blocking object for the connection, whose former object is closed."""
    taken = socket.socket(sock.family, sock.type, sock.proto, sock.detach())
    taken.setblocking(False)
    keep_every_end(taken)
    return taken
