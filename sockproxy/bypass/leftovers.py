"""What commands that were killed have left, of every kind: found and removed by collect()."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator

from sockproxy.bypass.detach import detach
from sockproxy.cgroup import KEPT, MARK, Cgroup, orphans, sweep
from sockproxy.errors import SockproxyError
from sockproxy.rundir.dead import clear_dead

__all__ = ["collect", "collect_group", "group_name", "guarded"]

DRAIN = 5.0  # seconds; by then all of its processes have ended
_GROUP = re.compile(rf"{re.escape(KEPT)}(.+)\.{MARK}")


def group_name(name: str) -> str:
    """What to call the cgroup of a `run` with this NAME, for create_owned()."""
    return f"{KEPT}{name}"


def collect() -> None:
    """Remove what commands that were killed have left: the one call for commands that begin.

    What `run` left running is ended and its NAME detached; then the cgroups of the dead go, the
    pins that lie aside, and the directories of proxies. Only what is known by its name or its lock
    to be of a process that is dead. What cannot be collected now stays for the next call.
    """
    with contextlib.suppress(SockproxyError):  # no cgroup v2, or no right to look
        for group in orphans():
            if found := _GROUP.fullmatch(group.path.name):
                with contextlib.suppress(SockproxyError):
                    collect_group(found[1], group)
        sweep()
    clear_dead()


def collect_group(name: str, group: Cgroup) -> None:
    """End all that runs in the cgroup, detach NAME from it, and remove it.

    Raises CgroupError and its kin when something stays.
    """
    with contextlib.suppress(FileNotFoundError):  # another command collects it as well
        group.end_all(0)
        if detach(name, DRAIN, only=group.id).drained:
            group.remove()


@contextlib.contextmanager
def guarded(name: str, group: Cgroup) -> Iterator[None]:
    """Should this process be killed inside the `with`, what is in the group is collected at once.

    A child process sees to it, as otherwise it would wait for the next command. It is forked, so
    that the caller must have one thread only.
    """
    alive, end = os.pipe()  # the child reads end-of-file from it when this process has ended
    guard = os.fork()
    if guard == 0:
        try:
            os.close(end)
            _stand_apart(alive)
            if not os.read(alive, 1):
                collect_group(name, group)
        finally:
            os._exit(0)
    os.close(alive)
    try:
        yield
    finally:
        os.write(end, b".")
        os.close(end)
        os.waitpid(guard, 0)


def _stand_apart(kept: int) -> None:
    """In the child: leave the terminal, ignore what ends a command, and close all descriptors but
    `kept`, so that who reads the command's output sees its end."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
