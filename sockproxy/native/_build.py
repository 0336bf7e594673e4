"""What the build makes of ``native/door.h`` and ``native/kernel.h``: ``sockproxy.native._binding``,
cffi's out-of-line ABI module. It needs no compiler, only ``_native.so`` beside it at run time."""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

HEADERS = ("door.h", "kernel.h")
FOLDER = Path(__file__).resolve().parents[2] / "native"
FRAME = re.compile(r"#(ifndef \w+|define \w+|include (<stdint\.h>|\"door\.h\")|endif)")


def declarations(header: Path) -> str:
    """What `header` declares, for cffi. Raises ValueError for what a compiler alone would obey."""
    lines = header.read_text(encoding="ascii").splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("#") and not FRAME.fullmatch(line):
            raise ValueError(f"{header}:{number}: cffi does not know {line!r}: no macros here")
    return "\n".join("" if line.startswith("#") else line for line in lines)


ffibuilder = FFI()
ffibuilder.set_source("sockproxy.native._binding", None)
for each in HEADERS:
    ffibuilder.cdef(declarations(FOLDER / each))
