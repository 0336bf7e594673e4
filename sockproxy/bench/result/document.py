"""The one document that a run leaves: its shape, reading it, writing it.

    schema 1, kind "bench"
    sockproxy, began, took, complete        version; ISO time; seconds; False after Ctrl-C
    scenario   name title seed rounds seconds confidence against   `against`: keys of systems
    machine    kernel architecture cpu cpus virtual governor versions sysctls knobs
               versions: of each tool. sysctls: below net/. knobs: of BPF
    systems    [key title about argv config version why_not]   why_not: why it is not accelerated
    cases      [key title tool test topology placement control connections size headline systems
                commands]   connections, size: 0 where not known. commands: of such a tool alone
    metrics    {key: [title more_is_better digits scale]}, as in metrics.py
    samples    [case system round order argv seconds values cpu carried checks raw each_second
                left_plain]
        values     {metric: figure}
        cpu        seconds: client server proxy kernel_threads, and `foreign` of everybody else
        carried    bytes by way: tcp unix bypassed short_circuited redirected pumped proxy
        checks     [name]: what was compared, and held
        raw        what the tool printed
        each_second   [figure]: the headline of each second, of tools that tell it; else left out
        left_plain    {why: sockets of its bypass that stayed plain}; left out when none did
    failures   [case system round why]                     round 0: before the first
    skipped    [case system why]                           system "" means the whole case
    warnings   [text]
    summary    [case metric system median least most count ratios]
        ratios     {other system: [ratio low high pairs verdict]}

A ratio is system / other, of runs that took turns in the same rounds, and low to high is its
confidence interval; `verdict` is "better", "worse", "no difference" or "too few rounds".
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sockproxy.errors import SockproxyError, UsageError

__all__ = [
    "KIND",
    "SCHEMA",
    "Document",
    "check_place",
    "latest",
    "load",
    "results_folder",
    "save",
    "understood",
    "write_whole",
]

SCHEMA = 1
"""Version of the shape: it grows when a field is removed or changes its meaning."""
KIND = "bench"
MOST_BYTES = 256 << 20  # of a document
PARTS = (
    "scenario",
    "machine",
    "systems",
    "cases",
    "metrics",
    "samples",
    "failures",
    "skipped",
    "warnings",
    "summary",
)

Document = dict[str, Any]


def results_folder() -> Path:
    """Where runs are kept: sockproxy/bench in $XDG_STATE_HOME, or in ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "sockproxy" / "bench"


def latest() -> Path:
    """The newest result that `bench run` has kept. Raises UsageError when there is none."""
    found = sorted(results_folder().glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UsageError(
            f"no results in {results_folder()}", hint="run 'sockproxy bench run quick', or name one"
        )
    return found[-1]


def load(path: Path) -> Document:
    """Read a document. Raises UsageError for a file that is no result of `bench run`."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:  # /dev/zero never ends
            raise UsageError(f"{path} is too large for a result", hint="name a result's file")
        document = json.loads(content)
    except OSError as error:
        raise UsageError(f"read {path}", errno=error.errno, hint="name a result's file") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is cut off, or no JSON", hint="name a result's file") from None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise UsageError(f"{path} is no result of 'sockproxy bench run'")
    if document.get("schema") != SCHEMA:
        raise UsageError(
            f"{path} has schema {document.get('schema')}, this sockproxy reads {SCHEMA}"
        )
    if missing := [part for part in PARTS if part not in document]:
        raise UsageError(f"{path} lacks {', '.join(missing)}")
    return document


@contextlib.contextmanager
def understood(*paths: Path) -> Iterator[None]:
    """Use documents inside of this `with`: what fails because one lacks a part, or has a part of
    another type, is raised as UsageError that names the files `paths`."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{type(error).__name__} {error}".strip()
        names = " or ".join(map(str, paths))
        raise UsageError(
            f"{names} is damaged: {what}", hint="name a result that nobody has changed"
        ) from error


def save(document: Document, path: Path) -> None:
    """Write a document as JSON. Raises SockproxyError as write_whole() does."""
    write_whole(path, (json.dumps(document, indent=1) + "\n").encode())


def check_place(path: Path) -> None:
    """Raise SockproxyError when no file can be written there: before a long run, not after it."""
    if _is_device(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises SockproxyError when that fails (a full disk)."""
    try:
        if _is_device(path):
            path.write_bytes(content)
            return
        target = path.resolve()  # through a symbolic link to the file itself
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            partial.write_bytes(content)
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)
    except BrokenPipeError:
        raise  # the reader of our output has gone: main() knows
    except OSError as error:
        raise _unwritable(path, error) from None


def _is_device(path: Path) -> bool:
    """Whether `path` is a device or a pipe, such as /dev/stdout: nothing may take its place."""
    return path.exists() and not path.is_file()


def _unwritable(path: Path, error: OSError) -> SockproxyError:
    return SockproxyError(
        f"write {path}", errno=error.errno, hint="give another place with --output"
    )
