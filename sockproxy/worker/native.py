"""The native worker, ``_native.so``: what of C the modules of this package call.

Each of them is the twin of a file of ``worker/``; ``worker/door.h`` says what the calls do.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from sockproxy.errors import Unsupported
from sockproxy.worker import _binding

__all__ = ["check", "ffi", "load_native"]

ffi: Any = _binding.ffi
"""cffi's view of worker/door.h."""

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


def check(result: int) -> int:
    """What a call of the library answered. Raises OSError for a negative errno."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result
