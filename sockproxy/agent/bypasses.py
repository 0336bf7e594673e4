"""The bypasses of this node that are the agent's: what is attached, and how that is changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sockproxy.agent.pods import PREFIX
from sockproxy.audit.note import note
from sockproxy.bpf.bypass import Bypass
from sockproxy.bypass.allowed import allowed_mode
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.cgroup import find_by_id
from sockproxy.cgroup.mount import mount_points
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.proof.ask import forget
from sockproxy.rundir import sight

__all__ = ["Attached", "Bypasses", "NodeBypasses"]

DRAIN = 2.0  # seconds that a detach waits, and the pods of other NAMEs with it


@dataclass(frozen=True, slots=True)
class Attached:
    """cgroups: the ids of those whose sockets enter. is_stale: something of cgroups that are gone
    is left, which the next attach removes."""

    cgroups: Collection[int]
    is_stale: bool = False


class Bypasses(Protocol):
    """What the agent asks of the machine. Every method may raise SockproxyError."""

    def prepare(self) -> None:
        """Do beforehand what takes long and is done once."""

    def seen(self) -> dict[str, Attached]:
        """Those that are attached and the agent's, by NAME."""

    def attach(self, name: str, cgroups: Sequence[Path]) -> str:
        """Have NAME be attached to these; why it only observes, or ""."""

    def detach(self, name: str) -> bool:
        """Detach NAME; whether all of it is gone."""


class NodeBypasses:
    """Bypasses on this machine, all with the same options."""

    def __init__(self, options: BypassOptions, tell: Callable[[str], None]) -> None:
        self._options, self._tell = options, tell
        self._draining: set[str] = set()

    def prepare(self) -> None:
        with contextlib.suppress(SockproxyError):  # attach() says it, of the pod that it is about
            _check_bpffs()
            allowed_mode(self._options, self._tell)

    def seen(self) -> dict[str, Attached]:
        found = {}
        for name in sight.names():
            # It may have been detached at this moment.
            if name.startswith(PREFIX):
                with contextlib.suppress(UsageError):
                    found[name] = _look(name)
        return found

    def attach(self, name: str, cgroups: Sequence[Path]) -> str:
        _check_bpffs()
        first, *also = cgroups
        try:
            done = attach(name, first, self._options, self._tell, also=also, may_move=True)
        except SockproxyError:
            forget()  # what holds for now is found out anew when this is tried again
            raise
        result, mode = done.words
        note(result, name, self._tell, mode=mode, cgroups=list(map(str, done.cgroups)))
        return done.why_not

    def detach(self, name: str) -> bool:
        done = detach(name, DRAIN, self._tell)
        # From its first "draining" on nothing is bypassed any more, however often it is tried.
        if done.was_attached and not (name in self._draining and not done.drained):
            note("detached" if done.drained else "draining", name, self._tell)
        (self._draining.discard if done.drained else self._draining.add)(name)
        return done.drained


def _check_bpffs() -> None:
    """Raises SockproxyError where none is to be seen: one that attach() mounted would end with this
    container, and the bypasses with it."""
    if not mount_points("bpf"):
        raise SockproxyError(
            "no bpffs is mounted in sight of the agent",
            hint="on the node: mount -t bpf bpf /sys/fs/bpf",
        )


def _look(name: str) -> Attached:
    with Bypass(name) as bypass:
        cgroups, leaving = bypass.cgroups(), bypass.leaving()
    return Attached(cgroups, bool(leaving) and len(find_by_id(leaving)) < len(leaving))
