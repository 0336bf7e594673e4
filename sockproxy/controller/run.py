"""Run a command in a cgroup of its own that a bypass is attached to; leave no trace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from sockproxy.cgroup import Cgroup, create_owned, sweep
from sockproxy.controller.bypass import BypassOptions, attach, detach, is_orphaned, names
from sockproxy.controller.bypass_view import bypass_status
from sockproxy.errors import UsageError

__all__ = ["run"]

GRACE = 5.0  # seconds that what the command leaves behind has to end, after SIGTERM
DRAIN = 5.0  # seconds; by then all of its processes have ended
FORWARDED = (signal.SIGTERM, signal.SIGHUP)


def run(name: str, options: BypassOptions, argv: Sequence[str]) -> tuple[int, dict[str, Any]]:
    """Run `argv`, and end what it leaves running.

    Returns its exit status (128 and the signal's number if one ended it), and what the
    bypass did, as bypass_status() tells. Raises UsageError when NAME is attached already
    or there is no such command.
    """
    sweep()
    if name in names():
        if not is_orphaned(name):
            raise UsageError(
                f"{name} is attached", hint=f"use another NAME, or 'sockproxy detach {name}' first"
            )
        detach(name, DRAIN)  # a run that was killed left it
    group = create_owned(f"run-{name}")
    try:
        attach(name, group.path, options)
        try:
            code = _run_inside(group, argv)
            _end_all(group)
            return code, bypass_status(name)
        finally:
            _end_all(group)
            detach(name, DRAIN)
    finally:
        group.remove()


def _run_inside(group: Cgroup, argv: Sequence[str]) -> int:
    try:
        process = subprocess.Popen(argv, preexec_fn=group.enter)  # one thread
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise UsageError(f"run {argv[0]}: {error.strerror}") from None
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


def _end_all(group: Cgroup) -> None:
    """End every process in the group and below it: they are all the command's."""
    deadline = time.monotonic() + GRACE
    number = signal.SIGTERM
    while pids := [pid for each in _with_those_below(group) for pid in each.processes()]:
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(0.05)


def _with_those_below(group: Cgroup) -> Iterator[Cgroup]:
    for folder, _, _ in os.walk(group.path):
        yield Cgroup(group.path / folder)
