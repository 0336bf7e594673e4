"""Run a command in a cgroup of its own that a bypass is attached to; leave no trace."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.groups import is_orphaned
from sockproxy.bypass.leftovers import collect, group_name, guarded
from sockproxy.bypass.options import BypassOptions
from sockproxy.bypass.view import bypass_status
from sockproxy.cgroup import Cgroup, create_owned
from sockproxy.errors import (
    CgroupError,
    PermissionDenied,
    SockproxyError,
    Undecided,
    Unsupported,
    UsageError,
)
from sockproxy.proof.ask import silent
from sockproxy.rundir.sight import check_name, names
from sockproxy.syscalls import end_with_parent

__all__ = ["CANNOT_RUN", "NOT_FOUND", "Ran", "run"]

GRACE = 5.0  # seconds from SIGTERM to SIGKILL for processes that the command has left running
DRAIN = 5.0  # seconds that detach waits for readers; all processes of the command have ended
FORWARDED = (signal.SIGTERM, signal.SIGHUP)
CANNOT_RUN, NOT_FOUND = 126, 127  # as shells have it


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command.

    code: its exit status; 128 and the signal's number if one ended it. did: what the bypass
    did, as bypass_status() tells; None when none could be attached. why_not: why nothing was
    bypassed, where that was asked for. failed: why there was no such command to run; `code` is
    NOT_FOUND or CANNOT_RUN then.
    """

    code: int
    did: dict[str, Any] | None = None
    why_not: str = ""
    failed: str = ""


class _NotStarted(Exception):
    """exec(2) refused the command, with this error."""

    def __init__(self, argv: Sequence[str], error: OSError) -> None:
        super().__init__()
        self.code = NOT_FOUND if error.errno == errno.ENOENT else CANNOT_RUN
        self.why = f"run {argv[0]!r}: {(error.strerror or str(error)).lower()}"


def run(
    name: str, options: BypassOptions, argv: Sequence[str], tell: Callable[[str], None] = silent
) -> Ran:
    """Run the command `argv` with a bypass NAME, and end what it leaves running.

    It runs by plain TCP where no bypass is to be had. When this process is killed, the command ends
    as well. tell: receives lines about what takes long, as attach() has it.

    Raises UsageError when NAME is attached already.
    """
    check_name(name)
    collect()
    if name in names():
        if not is_orphaned(name):
            raise UsageError(
                f"{name} is attached", hint=f"use another NAME, or 'sockproxy detach {name}' first"
            )
        detach(name, DRAIN)  # left by a run that was killed; somebody removed its cgroup
    try:
        group = create_owned(group_name(name))
    except SockproxyError as error:
        if options.force or _is_for_want_of_rights(error):
            raise
        why_not = f"no cgroup for it: {error}"
        return _started(argv, lambda: Ran(_run(argv), None, why_not))
    try:
        with guarded(name, group):
            return _started(argv, lambda: _run_bypassed(name, options, group, argv, tell))
    finally:
        group.remove()


def _is_for_want_of_rights(error: SockproxyError) -> bool:
    """Whether root could make this cgroup. Where root is refused too, as in a container, the
    command runs by plain TCP instead."""
    return isinstance(error, PermissionDenied) and os.geteuid() != 0


def _started(argv: Sequence[str], do: Callable[[], Ran]) -> Ran:
    try:
        return do()
    except _NotStarted as error:
        return Ran(error.code, failed=error.why)


def _run_bypassed(
    name: str,
    options: BypassOptions,
    group: Cgroup,
    argv: Sequence[str],
    tell: Callable[[str], None],
) -> Ran:
    found = shutil.which(argv[0])
    starts = (Path(found),) if found else ()
    try:
        why_not = attach(name, group.path, replace(options, starts=starts), tell).why_not
    except (Unsupported, Undecided) as error:
        if options.force:
            raise
        return Ran(_run_and_end(group, argv), None, error.failure)
    try:
        return Ran(_run_and_end(group, argv), bypass_status(name), why_not)
    finally:
        detach(name, DRAIN)


def _run_and_end(group: Cgroup, argv: Sequence[str]) -> int:
    try:
        return _run(argv, group)
    finally:
        group.end_all(GRACE)


def _run(argv: Sequence[str], group: Cgroup | None = None) -> int:
    """The command's exit status. Raises _NotStarted."""
    parent = os.getpid()

    def begin() -> None:
        """In the child, before exec: there is one thread, which is the parent that must live."""
        end_with_parent(signal.SIGKILL)
        if os.getppid() not in (parent, 0):  # it was killed before; 0 is of another namespace
            os._exit(1)
        if group is not None:
            group.enter()

    if not argv[0]:  # which would be looked for as a directory of PATH
        raise _NotStarted(argv, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    try:
        process = subprocess.Popen(argv, preexec_fn=begin)  # safe, as there is one thread
    except OSError as error:
        raise _NotStarted(argv, error) from None
    except subprocess.SubprocessError:
        raise CgroupError(
            f"enter the cgroup {group and group.path}", hint="may processes be moved there?"
        ) from None
    with _forwarding(process):
        code = process.wait()
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Signals are the command's. Ctrl-C reaches it from the terminal, so not by us too."""

    def forward(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
