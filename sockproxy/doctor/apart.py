"""Run a function in a process of its own, which may hang or crash."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from sockproxy.doctor.load import Load
from sockproxy.syscalls import end_with_parent

__all__ = ["apart"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def apart(seconds: float, do: Callable[..., Any], *arguments: Any) -> tuple[Any, bool]:
    """Call `do` in a child process that is ended after so many seconds.

    Returns what `do` returns, or None where it gave no answer in time, or the exit code of a
    crash (an int); and whether the machine was so busy that the time it took means nothing.
    Raises OSError where there is no room for a process.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    # A daemon: at exit multiprocessing must not wait for a child that hangs inside of the kernel.
    child = context.Process(target=_inside, args=(os.getpid(), sender, do, *arguments), daemon=True)
    load = Load()
    try:
        with _signals_held():
            child.start()
        sender.close()
        answer = receiver.recv() if receiver.poll(seconds) else None
        return answer, load.was_busy(child.pid or 0)
    except EOFError:
        child.join(0.5)
        return child.exitcode, True
    finally:
        if child.ident is not None:
            child.join(0.2)
            child.kill()
            child.join(0.5)
        receiver.close()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold signals back during a fork: what their handler raises inside of a hook of os.fork() is
    printed and forgotten, so that doctor would go on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def _inside(parent: int, pipe: Any, do: Callable[..., Any], *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for doctor, which then ends the probe
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    end_with_parent(signal.SIGKILL)
    if os.getppid() == parent:  # doctor may have died before the death signal was set
        pipe.send(do(*arguments))
