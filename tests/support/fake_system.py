"""The native worker's system calls, some of which are the test's own."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from cffi import FFI

from sockproxy.native import LIBRARY

SYSTEM = Path(__file__).resolve().parents[2] / "native" / "system.h"
FIELD = re.compile(r"^\t([\w ]+?\**)\s*\(\*(\w+)\)\(([^;]*)\);", re.MULTILINE)


def _plain(kind):
    """A type that cffi knows."""
    kind = kind.replace("socklen_t", "unsigned").replace("nfds_t", "unsigned long").strip()
    return "void *" if "*" in kind or "[" in kind else kind.replace("...", "void *")


CALLS = {
    name: f"{_plain(result)}({', '.join(map(_plain, arguments.split(',')))})"
    for result, name, arguments in FIELD.findall(SYSTEM.read_text())
}
"""The fields of struct system, in their order."""

ffi = FFI()
ffi.cdef("struct system {" + " ".join(f"void *{name};" for name in CALLS) + "};")
ffi.cdef("struct system *worker_system(void);")


KEPT = []  # another thread may still be in the midst of one


@contextlib.contextmanager
def calls(**replaced):
    """Have these called meanwhile: each as the system call, and with the real one before its
    arguments. One that raises OSError fails with its errno."""
    system = ffi.dlopen(str(LIBRARY)).worker_system()
    before = {}
    for name, call in replaced.items():
        before[name] = getattr(system, name)
        real = ffi.cast(CALLS[name].replace("(", "(*)(", 1), before[name])
        callback = ffi.callback(CALLS[name].replace("(", "(*)(", 1), _answering(call, real))
        KEPT.append(callback)
        setattr(system, name, ffi.cast("void *", callback))
    try:
        yield
    finally:
        for name, real in before.items():
            setattr(system, name, real)


def _answering(call, real):
    failure = ffi.NULL if ffi.typeof(real).result.kind == "pointer" else -1

    def answer(*arguments):
        try:
            return call(real, *arguments)
        except OSError as error:
            ffi.errno = error.errno
            return failure

    return answer


class Scarce:
    """Stands for a call that fails while it is told to."""

    def __init__(self, number):
        self.number = number
        self.failures = 0
        self.fails = lambda *_arguments: True

    def __call__(self, real, *arguments):
        if self.fails(*arguments):
            self.failures += 1
            raise OSError(self.number, os.strerror(self.number))
        return real(*arguments)
