"""What a worker is given to accelerate with, so that a test can put a fake in its place.

What it asks of these is C: ``native/kernel.h``.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["KernelShare", "ShortCircuit", "SpliceKernel"]


class ShortCircuit(Protocol):
    """An attached bypass, in which the two far ends of a proxied connection may be joined.

    name: of the bypass. native: its struct circuit.
    """

    name: str
    native: Any


class KernelShare(Protocol):
    """What one worker has of the sockmaps. native: its struct kernel, until close()."""

    native: Any

    def close(self) -> None:
        """Release everything. Closing twice is allowed."""


class SpliceKernel(KernelShare, Protocol):
    """The sockmaps of one splicer, and what its worker has of them, or the first of its workers.

    capacity: sockets that can be enrolled at once.
    """

    capacity: int

    def share(self) -> KernelShare:
        """For one more worker, of at most 256 in all. It is closed before this is. Raises
        KernelError and its kin."""

    def enrolments(self) -> dict[str, int]:
        """What sock_ops counted, by the names of struct enrolment."""

    def watch_cgroup(self, fd: int) -> None:
        """Attach sock_ops to the cgroup whose directory is open at `fd`. Raises KernelError and its
        kin."""
