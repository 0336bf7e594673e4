"""Detach a bypass without losing a byte: what was bypassed and is unread is waited for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sockproxy.bpf.abi import Mode
from sockproxy.bpf.bypass_kernel import PinnedBypasses
from sockproxy.bpf.bypass_seam import BypassKernel, Opened
from sockproxy.bpf.listing import Connection
from sockproxy.errors import SockproxyError
from sockproxy.proof.ask import silent

__all__ = ["Detached", "detach"]

POLL = 0.01  # seconds between two looks at what drains


@dataclass(frozen=True, slots=True)
class Detached:
    """What came of a detach.

    left: sockets that still hold what was bypassed to them. unseen: how many more stay, because
    this kernel does not let them be looked at.
    """

    was_attached: bool
    left: Sequence[Connection] = ()
    drained: bool = True
    unseen: int = 0


def detach(
    name: str,
    timeout: float,
    tell: Callable[[str], None] = silent,
    *,
    only: int | None = None,
    kernel: BypassKernel | None = None,
) -> Detached:
    """Detach NAME; no byte is lost. What is not read within `timeout` seconds stays.

    What stays is passed on by TCP, and the next call collects it. Others may change NAME
    meanwhile: its lock is held only while something is done. Raises SockproxyError.

    tell: receives a line when others who are changing NAME take long. only: the id of a cgroup; a
    NAME that is attached to another is left. kernel: None for that of this machine.
    """
    kernel = kernel or PinnedBypasses()
    deadline = time.monotonic() + timeout
    stopped, was_attached = False, False
    while True:
        with kernel.locked(name, tell, make=False) as held:
            if held is None or not held.attached:
                if not was_attached and (there := kernel.find_elsewhere(name)):
                    raise SockproxyError(there)
                return Detached(was_attached)
            with contextlib.closing(kernel.open(name, held)) as bypass:
                if only is not None and bypass.settings().cgroup != only:
                    return Detached(was_attached)
                was_attached = True
                draining = _drain(name, bypass, stopped)
            stopped = draining is not None
            if draining is None:
                held.remove()
                continue  # NAME may be attached on a second bpffs as well: look again
        if time.monotonic() >= deadline:
            return draining
        time.sleep(POLL)


def _drain(name: str, bypass: Opened, stopped: bool) -> Detached | None:
    """Inside of its lock: take out what can be taken; None when nothing is left in it.

    stopped: whether it was stopped by this detach before.
    """
    if not stopped:
        bypass.stop()
    elif bypass.settings().mode is not Mode.DRAIN:
        raise SockproxyError(
            f"detach {name}: it was attached again meanwhile", hint="detach it again"
        )
    left = bypass.take_out()
    remain = bypass.in_map()
    if not remain:
        return None
    return Detached(True, left, False, 0 if bypass.sees_sockmap else remain - len(left))
