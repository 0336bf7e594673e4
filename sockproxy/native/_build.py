"""What the build makes of told.h, door.h, rules.h, upstreams.h, kernel.h and ring.h:
``sockproxy.native._binding``.

It is cffi's out-of-line ABI module. It needs no compiler, only ``_native.so`` at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from cffi import FFI

declarations: Callable[[Path, Collection[str]], str] = globals()["declarations"]
"""Of hatch_build.py, which runs this file."""

HEADERS = ("told.h", "door.h", "rules.h", "upstreams.h", "kernel.h", "ring.h")
FOLDER = Path(__file__).resolve().parents[2] / "native"
INCLUDES = (
    '#include "told.h"',
    "#include <stddef.h>",
    "#include <stdint.h>",
    '#include "door.h"',
)


ffibuilder = FFI()
ffibuilder.set_source("sockproxy.native._binding", None)
for each in HEADERS:
    ffibuilder.cdef(declarations(FOLDER / each, INCLUDES))
