"""TCP listeners of a network namespace, read from /proc/PID/net without connecting to any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["listeners"]

LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h


def listeners(pid: int) -> Iterator[tuple[int, int]]:
    """Port, and inode of the socket, of each TCP listener in the process's network namespace.

    Raises OSError when the process has ended.
    """
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                yield int(fields[1].rpartition(":")[2], 16), int(fields[9])
