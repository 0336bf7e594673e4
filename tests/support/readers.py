"""Servers that read by habit, each in a process of its own.

    python -m tests.support.readers HABIT

Prints its port and answers messages, each four bytes of length and as many of content, with a
byte for each. Before it waits again it is busy for a moment, so that what comes meanwhile
is told by one event. With EOF on stdin it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

from tests.support.proxy import ROOT

BUFFER = 65536
BUSY = 0.003  # seconds
FEW = 10  # answers before some habits change
EDGE = select.EPOLLIN | select.EPOLLET
ONCE = select.EPOLLIN | select.EPOLLONESHOT


class Reader:
    """One connection, read by a habit: `wait` until there is something, then `read`."""

    drains = False
    """Reads until EAGAIN; else a short read is taken for all that there is."""

    def __init__(self, sock):
        self.sock = sock
        self.answered = 0
        self.begin()

    def begin(self):
        """Before the first message."""

    def wait(self):
        """Until the kernel tells of something to read."""
        raise NotImplementedError

    def after_answer(self):
        """An answer has been sent."""

    def read(self):
        """What is there, by this habit; b"" at the end of the stream."""
        parts = []
        while True:
            try:
                part = self.sock.recv(BUFFER)
            except BlockingIOError:
                return b"".join(parts) or None
            parts.append(part)
            if not part or (len(part) < BUFFER and not self.drains):
                return b"".join(parts)


class Level(Reader):
    events = select.EPOLLIN

    def begin(self):
        self.set = select.epoll()
        self.set.register(self.sock, self.events)

    def wait(self):
        self.set.poll()


class Edge(Level):
    events = EDGE


class DrainingEdge(Edge):
    drains = True


class LateEdge(Level):
    """Registers when it has answered some messages."""

    def after_answer(self):
        if self.answered == FEW:
            self.set.modify(self.sock, EDGE)


class LateRegistration(Reader):
    """Polls at first, then registers for edges."""

    def begin(self):
        self.set = None

    def wait(self):
        if self.set is None and self.answered >= FEW:
            self.set = select.epoll()
            self.set.register(self.sock, EDGE)
        if self.set is None:
            select.select([self.sock], [], [])
        else:
            self.set.poll()


class OnceLevel(Level):
    events = ONCE

    def wait(self):
        self.set.poll()
        self.set.modify(self.sock, ONCE)


class OnceEdge(Level):
    """Arms itself again before it reads: no edge comes for what lies there already."""

    events = ONCE | EDGE

    def wait(self):
        self.set.poll()
        self.set.modify(self.sock, ONCE | EDGE)


class Nested(Level):
    """A level-triggered set inside of one that is promised edges."""

    def begin(self):
        super().begin()
        self.outer = select.epoll()
        self.outer.register(self.set.fileno(), EDGE)

    def wait(self):
        self.outer.poll()
        self.set.poll(0)


class TwoSets(Level):
    """Edges and levels; it waits for the edges."""

    def begin(self):
        super().begin()
        self.edges = select.epoll()
        self.edges.register(self.sock, EDGE)

    def wait(self):
        self.edges.poll()


class Poll(Reader):
    def wait(self):
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        poller.poll()


class Select(Reader):
    def wait(self):
        select.select([self.sock], [], [])


class Signals(Reader):
    """SIGIO, which is sent once for what comes."""

    def begin(self):
        fcntl.fcntl(self.sock, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(self.sock, fcntl.F_GETFL)
        fcntl.fcntl(self.sock, fcntl.F_SETFL, flags | os.O_ASYNC)

    def wait(self):
        signal.sigwait({signal.SIGIO})


class Copier(Level):
    """Reads heads by recv and what follows by splice(2), as proxies do for CONNECT."""

    heads = 1

    def begin(self):
        super().begin()
        self.pipe = os.pipe()

    def read(self):
        if self.answered < self.heads:
            return super().read()
        try:
            moved = os.splice(self.sock.fileno(), self.pipe[1], BUFFER)
        except BlockingIOError:
            return None
        return os.read(self.pipe[0], moved) if moved else b""


class LateCopier(Copier):
    heads = 3


HABITS = {
    "level": Level,
    "edge": Edge,
    "draining-edge": DrainingEdge,
    "late-edge": LateEdge,
    "late-registration": LateRegistration,
    "once-level": OnceLevel,
    "once-edge": OnceEdge,
    "nested": Nested,
    "two-sets": TwoSets,
    "poll": Poll,
    "select": Select,
    "signals": Signals,
    "copier": Copier,
    "late-copier": LateCopier,
}


@contextlib.contextmanager
def serving(module, habit):
    """The port of a server of tests.support.MODULE, this one or one that is run like it."""
    argv = [sys.executable, "-m", f"tests.support.{module}", habit]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(argv, **options) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def serve(reader):
    """Answer messages until the end of the stream."""
    pending = b""
    first = True
    while True:
        # What came before it registered it may have missed.
        data = reader.read() if first else None
        first = False
        while data is None:
            reader.wait()
            data = reader.read()
        if not data:
            return
        pending += data
        while len(pending) >= 4 and len(pending) - 4 >= int.from_bytes(pending[:4]):
            size = int.from_bytes(pending[:4])
            content, pending = pending[4 : 4 + size], pending[4 + size :]
            if content != bytes([size % 251]) * size:
                raise SystemExit(f"a message of {size} bytes is wrong")
            reader.answered += 1
            reader.sock.sendall(b"!")
            reader.after_answer()
        time.sleep(BUSY)


def main(habit):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        while True:
            sock = listener.accept()[0]
            with sock:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                serve(HABITS[habit](sock))


if __name__ == "__main__":
    main(sys.argv[1])
