"""By which functions this kernel wakes those who wait at a socket.

The addresses are learned from sockets of our own, and not read from /proc/kallsyms: that shows
zeros under kptr_restrict=2, and a program that compared with zero would take everybody for what it
looks for.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sockproxy.bpf import Map, ffi
from sockproxy.bpf.loading import load
from sockproxy.errors import SockproxyError

__all__ = ["Wakers", "learn_wakers"]

OBJECT, PROGRAM = "wakers.bpf.o", "learn_waker"
SO_ATTACH_BPF = 50
PATIENCE = 5.0  # seconds that a thread has to begin to wait
PAUSE = 0.0005  # seconds between two looks whether it does


@dataclass(frozen=True, slots=True)
class Wakers:
    """Addresses of kernel functions; struct wakers of bpf/abi/bypass.h.

    epoll: of epoll items. poll: of poll(2) and select(2). sleep: of a blocked recv(2) of TCP; 0
    where there is no loopback to learn it from, and then nobody who sleeps is recognised.
    """

    epoll: int
    poll: int
    sleep: int


def learn_wakers() -> Wakers:
    """Have sockets of our own waited for in each way. Raises SockproxyError."""
    with contextlib.closing(load(OBJECT, {PROGRAM})) as bpf:
        fd, seen = bpf.program(PROGRAM).fd, bpf.map("seen")
        with _unix_pair() as (sender, receiver):
            receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_BPF, fd)

            def look() -> int:
                sender.send(b".")  # the program drops it
                return _value(seen)

            with contextlib.closing(select.epoll()) as epoll:
                epoll.register(receiver, select.EPOLLIN)
                by_epoll = look()
            by_poll = _learn_poll(receiver, look)
        if not (by_epoll and by_poll):
            raise SockproxyError("learn how this kernel wakes who waits at a socket")
        return Wakers(by_epoll, by_poll, _learn_sleep(fd, seen))


def _value(seen: Map) -> int:
    value = ffi.new("uint64_t *")
    seen.lookup(ffi.new("uint32_t *", 0), value)
    return int(value[0])


def _forget(seen: Map) -> None:
    seen.update(ffi.new("uint32_t *", 0), ffi.new("uint64_t *", 0))


@contextlib.contextmanager
def _unix_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        yield one, other


def _learn_poll(receiver: socket.socket, look: Callable[[], int]) -> int:
    """Of a thread that waits in poll until it is told to stop."""
    told, tell = socket.socketpair()
    with told, tell:
        poll = select.poll()
        poll.register(receiver, select.POLLIN)
        poll.register(told, select.POLLIN)
        thread = threading.Thread(target=poll.poll, daemon=True)
        thread.start()
        try:
            return _until(look)
        finally:
            tell.send(b".")
            thread.join()


def _learn_sleep(fd: int, seen: Map) -> int:
    """Of a thread that waits in recv of TCP."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            sender = socket.create_connection(server.getsockname(), timeout=PATIENCE)
            receiver = server.accept()[0]
    except OSError:
        return 0
    with sender, receiver:
        receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_BPF, fd)
        # On a busy CPU the first packet may still be on its way when it is asked what was seen.
        _forget(seen)
        thread = threading.Thread(target=_read_all, args=(receiver,), daemon=True)
        thread.start()

        def look() -> int:
            sender.send(b".")
            return _value(seen)

        try:
            return _until(look)
        finally:
            sender.shutdown(socket.SHUT_WR)
            thread.join()


def _read_all(sock: socket.socket) -> None:
    while sock.recv(1):
        pass


def _until(look: Callable[[], int]) -> int:
    """What is seen, once something is; 0 when nothing ever is."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(PAUSE)
    return found
