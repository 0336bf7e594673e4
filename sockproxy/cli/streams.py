"""stdin, stdout and stderr as they may be found: closed, full, or with nobody at the other end."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from sockproxy.errors import SockproxyError

__all__ = ["drop_output", "prepare"]


def prepare() -> None:
    """See to it that a failure to write the output is one error, and one to write to stderr none.

    What stands at 0 to 2 and was closed is /dev/null, which no socket of ours may take the place
    of; with a closed stdout, to write is an error as well.
    """
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # the lowest that is free
    for name, fd, kind in (("stdout", 1, _Output), ("stderr", 2, _Errors)):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            stream = open(fd, "w", closefd=False)  # noqa: SIM115  # for as long as we run
        if hasattr(stream, "reconfigure"):
            # An argument need not be UTF-8, and stdout need not be.
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, kind(stream))


def drop_output() -> None:
    """After a failure: what is still to be written goes nowhere, and fails no more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


class _Wrapped:
    """A text stream; all but writing is its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Output(_Wrapped):
    """stdout: raises SockproxyError where it cannot be written."""

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise _lost(error) from None

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise _lost(error) from None


class _Errors(_Wrapped):
    """stderr: where it cannot be written, neither what is done nor the exit status changes."""

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            pass  # nobody to tell


def _lost(error: OSError) -> SockproxyError:
    return SockproxyError("write the output", errno=error.errno)
