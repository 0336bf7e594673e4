"""Keys of a terminal, one by one, while it is shown."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator

__all__ = ["keys_of_terminal", "next_key"]


@contextlib.contextmanager
def keys_of_terminal() -> Iterator[bool]:
    """Have keys at once and without an echo, and the terminal as it was afterwards. Whether stdin
    is a terminal; else there are no keys."""
    if not sys.stdin.isatty():
        yield False
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def next_key(seconds: float) -> str:
    """The next one within so many seconds; "" for none. Sequences of a key, as of arrows, are
    dropped."""
    if not select.select([sys.stdin], [], [], max(0.0, seconds))[0]:
        return ""
    pressed = os.read(sys.stdin.fileno(), 64).decode(errors="ignore")
    return "" if pressed.startswith("\x1b") else pressed
