"""A splice of two sockets, as its owner sees it from any thread."""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
from collections.abc import Callable, Generator
from concurrent.futures import Future

from sockproxy.errors import SockproxyError, UsageError
from sockproxy.net.tcp import close_with_reset, is_fresh
from sockproxy.worker.door import Side, Worker
from sockproxy.worker.stats import PairStats

__all__ = ["Splice"]


class Splice:
    """A running splice of sockets `a` and `b`; any thread may use it.

    forward is the direction from a to b, backward the one from b to a. In asyncio,
    ``await splice`` waits as wait() does.
    """

    def __init__(self, worker: Worker, sockets: tuple[socket.socket, socket.socket]) -> None:
        self._worker = worker
        self._sockets = sockets
        self._number = 0
        """The worker's for it; 0 before it has one."""
        self._last: PairStats | None = None
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
        return self._tell(lambda number: None)

    @property
    def short_circuited(self) -> bool:
        """Whether messages may go from the one far end to the other without us;
        stats().why_not_short_circuited says why not."""
        return not self.stats().why_not_short_circuited

    def drop(self, direction: Side) -> None:
        """From now on throw away the bytes of `direction`; its end still passes on."""
        if direction not in ("forward", "backward"):
            raise UsageError(f"drop {direction!r}", hint="the directions are forward and backward")
        self._tell(lambda number: self._worker.drop(number, direction))

    def abort(self) -> None:
        """Drop what is under way and reset both connections. Twice is allowed."""
        self._tell(lambda number: self._worker.abort(number, "aborted"))

    def _start(self, already_read: tuple[bytes, bytes]) -> int:
        """Give the sockets to the worker; its number for them, 0 where it refuses them.

        On the loop's thread, as _end().
        """
        try:
            fresh = map(is_fresh, self._sockets, map(len, already_read))
            why_not_past = "" if all(fresh) else "its sockets were in use before"
            self._number = self._worker.add(*self._sockets, already_read, why_not_past)
        except OSError as error:
            for sock in self._sockets:  # an end would look like the end of the stream
                close_with_reset(sock)
            self._done.set_exception(error)
        return self._number

    def _end(self, stats: PairStats) -> None:
        """The worker has told the end."""
        self._last = stats
        self._done.set_result(stats)

    def _abandon(self) -> None:
        """In a forked child."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):  # the worker had it at that moment
                sock.close()
        self._done = Future()  # the old one's lock may be held by a thread that is not here
        if self._last is not None:
            self._done.set_result(self._last)
        else:
            self._done.set_exception(SockproxyError("the splice is the parent process's"))

    def _tell(self, do: Callable[[int], None]) -> PairStats:
        """Do something with the connection on the loop's thread; the counters after it."""
        answer: Future[PairStats] = Future()

        def act() -> None:
            if not self._number:
                answer.set_exception(self._done.exception() or SockproxyError("splicer closed"))
                return
            do(self._number)
            stats = self._worker.stats(self._number)
            if stats is not None:  # if it has ended, its event is on the way
                answer.set_result(stats)

        if self._done.done():
            return self._done.result()
        self._worker.loop.call(act)
        # The splicer may close meanwhile; its end of the pair is an answer as well.
        concurrent.futures.wait(
            (answer, self._done), return_when=concurrent.futures.FIRST_COMPLETED
        )
        return answer.result() if answer.done() else self._done.result()
