"""What may be asked of a bypass when it is attached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sockproxy.bpf.bypass_load import CONNECTIONS
from sockproxy.bpf.rules import check_rules
from sockproxy.errors import UsageError
from sockproxy.net.rules import Rule

__all__ = ["BypassOptions"]

SMALLEST_BUDGET = 4096


@dataclass(frozen=True, slots=True)
class BypassOptions:
    """rules: which connections. observe: count only. budget: bytes a queue may hold.

    connections: pairs of sockets at once; fixed when NAME is attached.
    programs: names, or paths of executables, whose sockets stay plain.
    blocking_readers: enrol what is read in blocking mode, too. any_reader: and, where FIONREAD is
    wrong, programs that are not known to do without it.
    force: bypass even where doctor found that it is not exact.
    edge_triggered: executables that read until EAGAIN, whatever they are: paths, or names on PATH.
    same_cgroup: only connections whose two ends belong to one cgroup.
    starts: executables that will be started, so that they are looked at as those that run are.
    fionread_is_wrong: for what is in a sockmap; None for what doctor found.
    keep_pacing: streams within this host that begin with BBR keep it.
    """

    rules: Sequence[Rule] = ()
    observe: bool = False
    budget: int = 256 << 10
    connections: int = CONNECTIONS
    programs: Sequence[str] = ()
    force: bool = False
    edge_triggered: Sequence[str] = ()
    same_cgroup: bool = False
    starts: Sequence[Path] = ()
    blocking_readers: bool = False
    any_reader: bool = False
    fionread_is_wrong: bool | None = None
    keep_pacing: bool = False

    def check(self) -> None:
        """Raises UsageError for more rules than fit, and for a budget out of bounds."""
        check_rules(self.rules)
        if not SMALLEST_BUDGET <= self.budget < 1 << 31:
            raise UsageError(f"budget of {self.budget} bytes", hint="use from 4KiB to 2047MiB")
