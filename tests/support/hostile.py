"""An adversary of the tests: an unprivileged user."""

from __future__ import annotations

import contextlib
import os
import signal

NOBODY = 65534
ESCAPE = "\x1b[31mred\x1b[0m\x07\u202e"  # what a terminal would obey


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
