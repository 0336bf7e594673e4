"""Run a command in a cgroup of its own that a bypass is attached to; leave no trace."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from sockproxy.cgroup import Cgroup, create_owned, sweep
from sockproxy.controller.bypass import BypassOptions, attach, detach, is_orphaned, names
from sockproxy.controller.bypass_view import bypass_status
from sockproxy.controller.verdicts import silent
from sockproxy.errors import Undecided, Unsupported, UsageError
from sockproxy.kernel.pins import check_name

__all__ = ["Ran", "run"]

GRACE = 5.0  # seconds that what the command leaves behind has to end, after SIGTERM
DRAIN = 5.0  # seconds; by then all of its processes have ended
FORWARDED = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command.

    code: its exit status; 128 and the signal's number if one ended it. did: what the bypass
    did, as bypass_status() tells; None when none could be attached. why_not: why nothing was
    bypassed, where that was asked for.
    """

    code: int
    did: dict[str, Any] | None
    why_not: str = ""


def run(
    name: str, options: BypassOptions, argv: Sequence[str], tell: Callable[[str], None] = silent
) -> Ran:
    """Run `argv`, and end what it leaves running; by plain TCP where no bypass is to be had.

    tell: as attach() has it.

    Raises UsageError when NAME is attached already or there is no such command.
    """
    check_name(name)
    sweep()
    if name in names():
        if not is_orphaned(name):
            raise UsageError(
                f"{name} is attached", hint=f"use another NAME, or 'sockproxy detach {name}' first"
            )
        detach(name, DRAIN)  # a run that was killed left it
    group = create_owned(f"run-{name}")
    try:
        try:
            why_not = attach(name, group.path, options, tell).why_not
        except (Unsupported, Undecided) as error:
            if options.force:
                raise
            return Ran(_run_and_end(group, argv), None, error.failure)
        try:
            return Ran(_run_and_end(group, argv), bypass_status(name), why_not)
        finally:
            detach(name, DRAIN)
    finally:
        group.remove()


def _run_and_end(group: Cgroup, argv: Sequence[str]) -> int:
    try:
        return _run_inside(group, argv)
    finally:
        group.end_all(GRACE)


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
