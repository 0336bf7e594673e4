"""An adversary of the tests: an unprivileged user, and places that he may write to."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

NOBODY = 65534
CLONE_NEWNS = 0x00020000
MS_REC_PRIVATE = 0x4000 | 1 << 18
ESCAPE = "\x1b[31mred\x1b[0m\x07\u202e"  # what a terminal would obey
_libc = ctypes.CDLL(None, use_errno=True)


def start_as_nobody(function, *arguments):
    """A forked process without any right that calls `function`; its pid, and a descriptor that
    ends with what went wrong, if anything did. Not another program: he may not reach Python."""
    ours, his = os.pipe()
    pid = os.fork()
    if pid:
        os.close(his)
        return pid, ours
    code = 1
    try:
        os.chdir("/")
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os.write(his, b"begun\n")
        function(*arguments)
        code = 0
    except BaseException as error:
        os.write(his, repr(error).encode())
    finally:
        os._exit(code)


@contextlib.contextmanager
def as_nobody(function, *arguments):
    """The same for the length of a `with`, killed at its end; it has begun."""
    pid, said = start_as_nobody(function, *arguments)
    try:
        assert os.read(said, 6) == b"begun\n"
        yield said
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(said)


def run_as_nobody(function, *arguments):
    """The same to its end: what went wrong, or ""."""
    pid, said = start_as_nobody(function, *arguments)
    with open(said) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text.removeprefix("begun\n")


@contextlib.contextmanager
def own_mounts():
    """This process in a mount namespace of its own, with what it starts; the machine's others see
    nothing of it. Threads that were started inside must have ended."""
    home, before = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC), os.getcwd()
    _check(_libc.unshare(CLONE_NEWNS))
    try:
        _check(_libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None))
        yield
    finally:
        _check(_libc.setns(home, CLONE_NEWNS))
        os.chdir(before)
        os.close(home)


def mount(kind, point, options=""):
    """As mount(8) does, on a directory that is there."""
    _check(_libc.mount(kind.encode(), os.fsencode(point), kind.encode(), 0, options.encode()))


def _check(result):
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
