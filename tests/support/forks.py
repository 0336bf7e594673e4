"""Children that are forked and not executed, as multiprocessing has them."""

from __future__ import annotations

import os
import socket

from tests.support.scale import patience


def in_child(do):
    """What `do()` returns in a forked child, as text; the child lives until told to end."""
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            answer = str(do())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        try:
            there.sendall(answer.encode() or b" ")
            here.close()
            there.recv(1)
        finally:
            os._exit(0)
    there.close()
    here.settimeout(patience(20))
    return pid, here, here.recv(1000).decode()


def end_child(pid, alive):
    """Let it go, and wait until it has."""
    with alive:
        alive.sendall(b".")  # its end would not do: later children hold it too
        os.waitpid(pid, 0)
