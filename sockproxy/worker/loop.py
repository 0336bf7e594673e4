"""The event loop that one splicer runs on: descriptors, timers and calls from other threads.

Descriptors are waited for by the native worker (``native/loop.c``), which tells what has come.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sockproxy.errors import SockproxyError
from sockproxy.native import check, ffi, load_native, new

__all__ = ["EventLoop", "Timer"]

MOST_NEWS = 256  # at once
LONGEST_WAIT = 86400.0  # seconds
NANOSECONDS = 1e9  # in a second


class Timer:
    """A call that is due at a moment of time.monotonic(); may be cancelled."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Never call. Cancelling twice is allowed."""
        self.call = None


class _Called:
    """A call that another thread makes."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call, self._done = call, threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._call()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def wait(self) -> None:
        self._done.wait()
        if self._error is not None:
            raise self._error


class EventLoop:
    """Single-threaded: all but call(), do() and stop() belong to the thread inside run()."""

    def __init__(self, mate: EventLoop | None = None) -> None:
        """mate: one that does not run yet, of a worker whose limits and clients are shared."""
        self._lib = load_native()
        self.native: Any = new(self._lib.worker_new(mate.native if mate else ffi.NULL))
        """The struct worker, for what else works with it; None once the loop is closed."""
        self._receivers: dict[int, Callable[[Any], None]] = {self._lib.NEWS_READY: self._on_ready}
        self._news = ffi.new("struct news[]", MOST_NEWS)
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._watched: dict[int, int] = {}  # by descriptor, the number of its handler
        self._numbers = itertools.count(1)
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._ready: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.watch(self._wake, select.EPOLLIN, lambda _events: self._woken())
        self._stopping = False
        self._runner: threading.Thread | None = None  # under the lock
        self._open = threading.RLock()  # one that closes meanwhile gives its descriptors to others

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler(events)` when the descriptor has one of the epoll `events`."""
        number = next(self._numbers)
        check(self._lib.worker_watch(self.native, fd, events, number))
        self._watched[fd] = number
        self._handlers[number] = handler

    def unwatch(self, fd: int) -> None:
        """Forget the descriptor, which must still be open. Twice is allowed."""
        if (number := self._watched.pop(fd, None)) is not None:
            del self._handlers[number]
            self._lib.worker_unwatch(self.native, fd)

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once after `seconds`."""
        timer = Timer(time.monotonic() + seconds, call)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def call(self, call: Callable[[], None]) -> None:
        """From any thread, or a signal handler: make the loop's thread call. Nothing happens when
        the loop has been closed."""
        with self._open:
            if self.native:
                self._ready.append(call)
                os.eventfd_write(self._wake, 1)

    def do(self, call: Callable[[], None]) -> None:
        """From any thread: have the loop's thread call, and wait until it has; call here where no
        other thread runs the loop. What the call raises is raised here."""
        called = _Called(call)
        with self._open:
            runs_elsewhere = self._runner not in (None, threading.current_thread())
            if runs_elsewhere:
                self.call(called.run)
        if runs_elsewhere:
            called.wait()
        else:
            call()

    def stop(self) -> None:
        """From any thread or signal handler: make run() return."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Serve until stop()."""
        self._runner = threading.current_thread()
        try:
            with self._awake_by_signals():
                self._serve()
        finally:
            with self._open:
                self._runner = None
            self._run_ready()  # what do() has asked for before that

    @contextmanager
    def _awake_by_signals(self) -> Iterator[None]:
        """In the main thread, which alone runs Python's handlers: come back for one. A signal that
        comes while the worker is not in epoll_wait(2) would not wake it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        out, into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        before = signal.set_wakeup_fd(into, warn_on_full_buffer=False)
        try:
            self.watch(out, select.EPOLLIN, lambda _events: self._drain(out))
            yield
        finally:
            signal.set_wakeup_fd(before)
            self.unwatch(out)
            os.close(out)
            os.close(into)

    @staticmethod
    def _drain(fd: int) -> None:
        with suppress(BlockingIOError):
            os.read(fd, 4096)

    def _serve(self) -> None:
        while not self._stopping:
            wait = self._patience()
            self._tell_news(self._lib.worker_run(self.native, wait, self._news, MOST_NEWS))
            self._run_ready()
            self._run_timers()
        self._run_ready()  # what was asked for before the stop

    def receive(self, kind: int, receiver: Callable[[Any], None]) -> None:
        """Have `receiver` called with each struct news of this kind (enum news_kind)."""
        self._receivers[kind] = receiver

    def _tell_news(self, count: int) -> None:
        for news in self._news[0:count]:
            if receiver := self._receivers.get(news.kind):
                receiver(news)

    def _on_ready(self, news: Any) -> None:
        # A handler before it may have unwatched this one.
        if handler := self._handlers.get(news.number):
            handler(news.events)

    def tell_rest(self) -> None:
        """After run(): make the calls that were asked for, and hand out what was told since."""
        self._run_ready()
        while count := self._lib.worker_take_news(self.native, self._news, MOST_NEWS):
            self._tell_news(count)

    def _patience(self) -> int:
        """Nanoseconds that may be waited; negative for ever."""
        if self._ready:
            return 0
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return -1
        wait = min(max(0.0, self._timers[0][0] - time.monotonic()), LONGEST_WAIT)
        return int(wait * NANOSECONDS)

    def _run_ready(self) -> None:
        for _ in range(len(self._ready)):
            self._ready.popleft()()

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                call()

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """For other threads: see to it that the loop is not closed meanwhile.

        Raises SockproxyError when it is closed already.
        """
        with self._open:
            if not self.native:
                raise SockproxyError("read a worker that has ended")
            yield

    def close(self) -> None:
        """Close the loop's own descriptors."""
        with self._open:
            native, self.native = self.native, None
            self._lib.worker_free(native)
            os.close(self._wake)

    def before_fork(self) -> None:
        """By a thread that is about to fork: what is running stays in order for the child. It may
        not be closed until after_fork(), which is called in the parent."""
        self._open.acquire()
        if self.native:
            self._lib.worker_before_fork(self.native)

    def after_fork(self) -> None:
        """See before_fork()."""
        if self.native:
            self._lib.worker_after_fork(self.native)
        self._open.release()

    def abandon(self) -> None:
        """close() in a forked child, where a thread that is not there may hold the lock."""
        self._open = threading.RLock()
        native, self.native = self.native, None
        if native:
            self._lib.worker_abandon(native)
        os.close(self._wake)
