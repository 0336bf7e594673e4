"""Learning of urgent bytes that come for sockets which the kernel reads."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import threading
import time
from collections.abc import Callable

from sockproxy.syscalls import signalfd
from sockproxy.worker.loop import EventLoop

__all__ = ["UrgentSignals"]

F_SETOWN_EX = 15
F_OWNER_TID = 0
SIGNAL_INFO = 128  # bytes of struct signalfd_siginfo
SHARE = 10  # looking takes one part in so many of the loop's time at most


class UrgentSignals:
    """SIGURG as an event of the loop; all belongs to the loop's thread.

    A strparser has the place of the function that would wake epoll, and tells nobody of an urgent
    byte (sk_psock_strp_data_ready()). But tcp_check_urg() sends SIGURG to the socket's owner. That
    is the loop's thread alone, in which it is blocked and comes by a signalfd. A signalfd takes
    what is sent to the whole process as well, and nothing tells the two apart: so a program that
    has a handler for SIGURG is sent each of them again.

    look: called after urgent bytes have come, which does not tell for which socket.
    """

    def __init__(self, loop: EventLoop, look: Callable[[], None]) -> None:
        self._loop, self._look = loop, look
        self._fd = -1
        self._owner = b""
        self._due = False
        self._not_before = 0.0

    def watch(self, fd: int) -> None:
        """Be told of the urgent bytes of the socket `fd`, until it is closed."""
        if self._fd < 0:
            self._open()
        fcntl.fcntl(fd, F_SETOWN_EX, self._owner)

    def _open(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGURG])
        self._fd = fd = signalfd([signal.SIGURG])
        self._owner = struct.pack("=ii", F_OWNER_TID, threading.get_native_id())
        self._loop.watch(fd, select.EPOLLIN, self._on_signal)

    def _on_signal(self, _events: int) -> None:
        try:
            os.read(self._fd, SIGNAL_INFO)
        except BlockingIOError:
            return  # it was the whole process's, and another thread had it
        if signal.getsignal(signal.SIGURG) not in (signal.SIG_DFL, signal.SIG_IGN):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGURG)
        if not self._due:
            self._due = True
            self._loop.later(self._not_before - time.monotonic(), self._look_now)

    def _look_now(self) -> None:
        self._due = False
        began = time.monotonic()
        self._look()
        ended = time.monotonic()
        self._not_before = ended + SHARE * (ended - began)

    def close(self) -> None:
        """Close the descriptor, if there is one. SIGURG stays blocked in the loop's thread."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
