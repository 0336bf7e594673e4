"""What a worker is given to accelerate with, so that a test can put a fake in its place.

What it asks of these is C: ``native/kernel.h``.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["ShortCircuit", "SpliceKernel"]


class ShortCircuit(Protocol):
    """An attached bypass, in which the two far ends of a proxied connection may be joined.

    name: of the bypass. native: its struct circuit.
    """

    name: str
    native: Any


class SpliceKernel(Protocol):
    """The sockmaps of one splicer.

    capacity: sockets that can be enrolled at once. native: its struct kernel, until close().
    """

    capacity: int
    native: Any

    def enrolments(self) -> dict[str, int]:
        """What sock_ops counted, by the names of struct enrolment."""

    def watch_cgroup(self, fd: int) -> None:
        """Attach sock_ops to the cgroup whose directory is open at `fd`. Raises KernelError and its
        kin."""

    def close(self) -> None:
        """Release everything. Closing twice is allowed."""
