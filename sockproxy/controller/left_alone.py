"""Programs that a bypass leaves alone: their reads would stall, or come in the wrong order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

import psutil

from sockproxy.controller.mechanisms import BYPASS
from sockproxy.controller.verdicts import verdict
from sockproxy.net.listeners import listeners

__all__ = ["FIONREAD", "FIONREAD_USERS", "listening", "must_be_left_alone"]

FIONREAD = "FIONREAD"  # the name of doctor's probe
# Names of processes. These are known to ask FIONREAD before they read.
FIONREAD_USERS = ("nginx", "java", "dotnet")
# These read by recv and go on by splice(2), which does not see what was bypassed: a short
# answer in two parts stalls between them.
SPLICE_USERS = ("haproxy",)


def must_be_left_alone(*, proved: bool = True) -> tuple[str, ...]:
    """Names of programs that this kernel would make wait for ever if they were enrolled.

    proved: False where doctor is not to be asked, and so all of them are.
    """
    if proved and (found := verdict(BYPASS)).on and FIONREAD not in found.limits:
        return SPLICE_USERS
    return (*FIONREAD_USERS, *SPLICE_USERS)


def listening(programs: Collection[str]) -> set[tuple[int, int]]:
    """(network namespace, port) where these programs accept connections already."""
    found = set()
    for process in psutil.process_iter(["name"]):
        if process.info["name"] not in programs:
            continue
        with contextlib.suppress(OSError):  # it has ended
            folder = Path(f"/proc/{process.pid}")
            netns = (folder / "ns/net").stat().st_ino
            sockets = {os.readlink(each) for each in (folder / "fd").iterdir()}
            # psutil would look into our own namespace.
            found |= {
                (netns, port)
                for port, inode in listeners(process.pid)
                if f"socket:[{inode}]" in sockets
            }
    return found
