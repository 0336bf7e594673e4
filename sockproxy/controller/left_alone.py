"""Programs that a bypass leaves alone: their reads would stall, or come in the wrong order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

import psutil

from sockproxy.cgroup import Cgroup, find_mount
from sockproxy.errors import SockproxyError
from sockproxy.kernel.fionread import counts_tcp
from sockproxy.net.listeners import listeners

__all__ = ["FIONREAD_USERS", "listening", "must_be_left_alone"]

# Names of processes. These are known to ask FIONREAD before they read; see kernel/fionread.py.
FIONREAD_USERS = ("nginx", "java", "dotnet")
# These read by recv and go on by splice(2), which does not see what was bypassed: a short
# answer in two parts stalls between them.
SPLICE_USERS = ("haproxy",)


def must_be_left_alone() -> tuple[str, ...]:
    """Names of programs that this kernel would make wait for ever if they were enrolled."""
    with contextlib.ExitStack() as inside:
        # Of the root cgroup, so that no bypass counts what is tried; where that may be.
        with contextlib.suppress(SockproxyError):
            inside.enter_context(Cgroup(find_mount()).entered())
        return SPLICE_USERS if counts_tcp() else (*FIONREAD_USERS, *SPLICE_USERS)


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
