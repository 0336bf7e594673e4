"""The native worker, ``_native.so``: the life of connections, in C.

``native/door.h`` says what its calls do; sockproxy.worker and sockproxy.bpf make them.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from sockproxy.errors import Unsupported
from sockproxy.native import _binding

__all__ = ["LIBRARY", "check", "ffi", "load_native", "new"]

ffi: Any = _binding.ffi
"""cffi's view of native/door.h."""

LIBRARY = Path(__file__).with_name("_native.so")


@cache
def load_native() -> Any:
    """The library itself.

    Raises Unsupported where it does not load: it was built for another machine or libc.
    """
    try:
        return ffi.dlopen(str(LIBRARY))
    except OSError as error:
        raise Unsupported(
            f"load the native worker ({error})",
            hint="build sockproxy on this machine: 'pip install --no-binary sockproxy sockproxy'",
        ) from None


def new(pointer: Any) -> Any:
    """What a call of the library has made. Raises OSError where that is nothing."""
    if not pointer:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    return pointer


def check(result: int) -> int:
    """What a call of the library answered. Raises OSError for a negative errno."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result
