"""File descriptors: how many connections and pipes they allow, and what happens without."""

from __future__ import annotations

import errno
import resource
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SHORTAGE", "SHORTAGE_PAUSE", "Allowance", "allowance", "most_of_a_process"]

SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What may be had a moment later: descriptors of the process or the system, or memory."""
SHORTAGE_PAUSE = 0.05  # seconds until it is tried again: nobody tells when there is some
PER_PAIR = 6  # two sockets and, while both directions are pumped, two pipes
OWN = 64  # the programs and maps, doctor, resolver, those who ask, and what these open meanwhile
KEPT_PIPES = 64  # where connections take all that there is
PER_WORKER = 8  # of each but the first: epoll, a sink, two eventfds, a ring buffer, a signalfd


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the limit allows. limit: descriptors; need: those that would do for all."""

    connections: int
    pipes: int
    limit: int
    need: int


def allowance(connections: int, workers: int = 1) -> Allowance:
    """Raise the limit to what so many connections need, or as far as we may; what it allows.

    Where that is not enough, some of the descriptors are for pipes, a quarter of few: a direction
    can do without (native/pump.c), a connection cannot do without its sockets.
    """
    own = OWN + PER_WORKER * (workers - 1)
    need = PER_PAIR * connections + own
    limit = _raise_limit(need)
    free = limit - min(own, limit // 2)
    for_pipes = min(free // 4, 2 * KEPT_PIPES)
    allowed = min(connections, max(1, (free - for_pipes) // 2))
    return Allowance(allowed, max(0, free - 2 * allowed) // 2, limit, need)


def _raise_limit(need: int) -> int:
    """The soft limit, which was enough or has been raised; the hard one too, if we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= need:
        return soft
    for limit in (min(need, most_of_a_process()), min(need, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(hard, limit)))
        except (OSError, ValueError):
            continue
        return limit
    return soft


def most_of_a_process() -> int:
    """What no limit of a process may exceed: the sysctl fs.nr_open."""
    try:
        return int(Path("/proc/sys/fs/nr_open").read_text())
    except (OSError, ValueError):
        return 1 << 20
