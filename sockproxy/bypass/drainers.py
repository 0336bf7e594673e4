"""Programs that read until there is no more, and wait only then: by what their executables are.

A reader that waits with EPOLLET could take a short read for all that there is, and wait for an edge
that does not come; so it gets nothing that is bypassed. Of the executables here it is known that
they read until EAGAIN. They are told by what is in the file, as a name proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sockproxy.bpf.abi import Drains
from sockproxy.bpf.programs import Executable, executable
from sockproxy.errors import UsageError

__all__ = ["KINDS", "Kind", "named", "recognised"]

ENVOY_SYMBOLS = "envoy_dynamic_module_callback_"


@dataclass(frozen=True, slots=True)
class Kind:
    """Executables that one compiler or project makes, and that read until EAGAIN.

    why: by which of its code that is known. shown_by: what in the file tells that it is one. is_it:
    looks into a file, and raises OSError; None where the BPF programs look, when a process of it
    reads for the first time (bpf/bypass/executable.h).
    """

    drains: Drains
    why: str
    shown_by: str
    is_it: Callable[[Path], bool] | None = None


def _is_envoy(path: Path) -> bool:
    # Imported here: pyelftools takes a tenth of the time that a whole command takes to start.
    from sockproxy.bypass.exports import exports

    return exports(path, ENVOY_SYMBOLS)


KINDS = (
    Kind(
        Drains.GO,
        "internal/poll reads before it waits, whatever the read before gave",
        "the note of Go's linker, .note.go.buildid",
    ),
    Kind(
        Drains.ENVOY,
        "RawBufferSocket::doRead() reads until EAGAIN, and asks to be called again where it stops"
        " before",
        f"it exports {ENVOY_SYMBOLS}*, which it does since 1.34",
        _is_envoy,
    ),
)


def named(programs: Iterable[str]) -> list[Executable]:
    """The executables that --edge-triggered names, by path or as the shell finds them.

    Raises UsageError for one that is not there, or is a script: all scripts of an interpreter are
    one executable.
    """
    found = []
    for each in programs:
        path = Path(each if os.sep in each else shutil.which(each) or each)
        try:
            found.append(executable(path))
            with open(path, "rb") as file:
                is_script = file.read(2) == b"#!"
        except OSError as error:
            raise UsageError(
                f"--edge-triggered {each}",
                errno=error.errno,
                hint="name an executable file, by its path or as the shell finds it",
            ) from None
        if is_script:
            raise UsageError(
                f"--edge-triggered {each}: it is a script", hint="name the executable that it runs"
            )
    return found


def recognised(pids: Iterable[int], starts: Iterable[Path] = ()) -> dict[Executable, Drains]:
    """Which programs of these processes, and of the files that will be started, are of KINDS.

    What has ended, or cannot be read, is none.
    """
    found: dict[Executable, Drains] = {}
    seen = set()
    for path in (*(Path(f"/proc/{pid}/exe") for pid in pids), *starts):
        with contextlib.suppress(OSError):
            known = executable(path)
            if known not in seen and (kind := _kind_of(path)) is not None:
                found[known] = kind
            seen.add(known)
    return found


def _kind_of(path: Path) -> Drains | None:
    return next((each.drains for each in KINDS if each.is_it and each.is_it(path)), None)
