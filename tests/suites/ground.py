"""Where a run takes place: a cgroup and a network namespace of its own, bypassed or plain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sockproxy.bench.interrupt import Undo
from sockproxy.bench.process import Place
from sockproxy.bypass.leftovers import group_name, guarded
from sockproxy.cgroup import create_owned
from sockproxy.net.namespace import Namespace
from tests.suites.errors import SuiteError

__all__ = ["Ran", "run"]

DRAIN = "5s"  # for bypassed bytes to be read; by then all processes have ended
COUNTERS = ("enrolled", "paired", "bypassed_messages", "bypassed_bytes", "passed_messages")
"""The fields of `sockproxy status` on a bypass that a record keeps."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that has ended. did: the bypass's counters; None without one."""

    output: str
    in_time: bool
    seconds: float
    did: dict[str, int] | None


def run(
    argv: Sequence[str], folder: Path, log: Path, minutes: float, options: Sequence[str] | None
) -> Ran:
    """Run a command in `folder`, and end what it leaves running.

    log: gets what it prints. options: of `sockproxy attach`; None for plain TCP. Raises
    SuiteError where the bypass cannot be had, and SockproxyError.
    """
    name = f"suite-{os.getpid()}"
    with Undo() as undo:
        group = create_owned(group_name(name))
        undo.callback(group.remove)
        undo.enter_context(guarded(name, group))  # should we be killed
        namespace = Namespace()
        undo.callback(namespace.close)
        if options is not None:
            undo.callback(_sockproxy, "detach", name, "--timeout", DRAIN)
            _attach(name, group.path, options)
        undo.callback(group.end_all, 0.0)
        place = Place(namespace, group, limited=False)
        begun = time.monotonic()
        with log.open("wb") as output:
            process = place.spawn(
                ["env", "-i", *_environment(folder), *argv],
                stdout=output.fileno(),
                stderr=output.fileno(),
                orphaned=signal.SIGKILL,
                folder=folder,
            )
            in_time = _wait(process, minutes * 60)
        seconds = time.monotonic() - begun
        group.end_all(0.0)  # before the counters are read: sockets add up when they close
        did = None if options is None else _counters(name)
    return Ran(log.read_text(errors="replace"), in_time, seconds, did)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        process.kill()
        process.wait()


def _environment(folder: Path) -> list[str]:
    """The environment of a run, alike on every machine: a user's settings must not decide what a
    test finds."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [f"PATH={path}", "LANG=C.UTF-8", f"HOME={folder}", f"TMPDIR={folder}"]


def _attach(name: str, group: Path, options: Sequence[str]) -> None:
    told = json.loads(_sockproxy("attach", name, "--cgroup", str(group), "--json", *options))
    if told["mode"] != "bypassing":
        raise SuiteError("nothing is bypassed on this machine", told["why_not"] or "observing")


def _counters(name: str) -> dict[str, int]:
    told: dict[str, Any] = json.loads(_sockproxy("status", name, "--json"))["bypasses"][0]
    return {each: told[each] for each in COUNTERS}


def _sockproxy(*words: str) -> str:
    """Run a command of sockproxy's; what it prints. Raises SuiteError, with its error, when it
    fails."""
    done = subprocess.run(
        [sys.executable, "-m", "sockproxy", *words], capture_output=True, text=True
    )
    if done.returncode:
        raise SuiteError(f"sockproxy {words[0]}", done.stderr.strip())
    return done.stdout
