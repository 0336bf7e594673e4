"""The attached bypasses of this machine, in which proxied conversations are short-circuited."""

from __future__ import annotations

import contextlib
import logging

from sockproxy.bpf.short_circuit import BypassShortCircuit, identity
from sockproxy.cgroup import Cgroup
from sockproxy.errors import SockproxyError
from sockproxy.rundir.pins import open_pins
from sockproxy.rundir.sight import names
from sockproxy.worker.door import Accelerated, Timer

__all__ = ["ShortCircuits"]

log = logging.getLogger("sockproxy.splicer")

LOOK = 1.0  # seconds between looks at what is attached
NONE = "no bypass is attached"


class ShortCircuits:
    """Keeps the circuits of a worker. All methods belong to the loop's thread, or come before it
    runs or after it has ended.

    cgroup: that in which the sockets of the worker's connections are opened, and no others. What
    was attached when a connection was made counts for that.
    """

    def __init__(self, worker: Accelerated, cgroup: Cgroup) -> None:
        self._worker, self._cgroup = worker, cgroup
        self._open: dict[str, BypassShortCircuit] = {}
        self._trouble = ""
        self._timer: Timer | None = None

    def look(self) -> None:
        """Take those that were attached since, give up those that are no more; and look again."""
        trouble = ""
        try:
            attached = set(names())
            for name in [each for each in self._open if each not in attached]:
                self._give_up(name)
            for name in sorted(attached):
                trouble = self._check(name) or trouble
            self._worker.set_circuits(tuple(self._open.values()), trouble or NONE)
        except (SockproxyError, OSError) as error:  # as for want of descriptors
            trouble = str(error)
            with contextlib.suppress(OSError):
                self._worker.set_circuits(tuple(self._open.values()), trouble)
        if trouble and trouble != self._trouble:
            log.warning(f"no short-circuit: {trouble}")
        self._trouble = trouble
        self._timer = self._worker.loop.later(LOOK, self.look)

    def _check(self, name: str) -> str:
        """Take a bypass that is new; why that is not possible."""
        try:
            folder = open_pins(name)
            if folder is None:
                return ""  # detached meanwhile
            with contextlib.closing(folder):
                if name in self._open:
                    if self._open[name].identity == identity(folder):
                        return ""
                    self._give_up(name)  # it is another of that name
                with self._cgroup.opened() as fd:
                    self._open[name] = BypassShortCircuit(name, folder, fd)
            log.info(f"conversations within the bypass {name} are short-circuited")
        except FileNotFoundError:
            return (
                f"the bypass {name} has no programs for it: another version has attached it, or the"
                " kernel refused them; detach and attach it anew, or see what"
                " 'sockproxy doctor' finds refused"
            )
        except (SockproxyError, OSError) as error:
            return str(error)
        return ""

    def _give_up(self, name: str) -> None:
        """Hear of no more sockets; connections that were joined in it still read their counters."""
        self._open.pop(name).stop()

    def abandon(self) -> None:
        """In a forked child: let go of what is the parent's."""
        for circuit in self._open.values():
            circuit.stop()
            circuit.close()

    def close(self) -> None:
        """After the worker. Twice is allowed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in list(self._open):
            self._give_up(name)
