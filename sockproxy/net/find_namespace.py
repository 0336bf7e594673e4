"""Find network namespaces by their inodes: those of processes, threads, mounts and sockets."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import psutil

from sockproxy.net.namespace import open_current
from sockproxy.syscalls import pidfd_getfd

__all__ = ["find_namespaces"]

SIOCGSKNS = 0x894C  # a descriptor of a socket's network namespace


def find_namespaces(wanted: Collection[int]) -> dict[int, int]:
    """Descriptors of the network namespaces with these inodes, by inode; the caller closes them.

    A namespace that has ended, or that this process may not look into, is left out.
    """
    found: dict[int, int] = {}
    # The cheap ones first. A namespace may have no process: a mount holds it, or just a socket.
    for source in (_current, _of_processes, _of_threads, _of_mounts, _of_sockets):
        if not set(wanted) - found.keys():
            break
        for fd in source(set(wanted) - found.keys()):
            inode = os.fstat(fd).st_ino
            if inode in wanted and inode not in found:
                found[inode] = fd
            else:
                os.close(fd)
    return found


def _current(_wanted: set[int]) -> Iterator[int]:
    yield open_current()


def _open_all(paths: Iterable[Path], wanted: set[int]) -> Iterator[int]:
    for path in paths:
        with contextlib.suppress(OSError):  # its process has ended, or is not ours to look into
            if path.stat().st_ino in wanted:
                yield os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _of_processes(wanted: set[int]) -> Iterator[int]:
    return _open_all(Path("/proc").glob("[0-9]*/ns/net"), wanted)


def _of_threads(wanted: set[int]) -> Iterator[int]:
    return _open_all(Path("/proc").glob("[0-9]*/task/[0-9]*/ns/net"), wanted)


def _of_mounts(wanted: set[int]) -> Iterator[int]:
    """Namespaces that are mounted on a file, as `ip netns add` and container runtimes do it."""
    mounts = psutil.disk_partitions(all=True)
    return _open_all((Path(each.mountpoint) for each in mounts if each.fstype == "nsfs"), wanted)


def _of_sockets(_wanted: set[int]) -> Iterator[int]:
    """Namespaces that only a socket holds: no process is inside any more, and no mount."""
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(int(folder.parent.name))
            try:
                yield from _of_sockets_of(folder, pidfd)
            finally:
                os.close(pidfd)


def _of_sockets_of(folder: Path, pidfd: int) -> Iterator[int]:
    for link in folder.iterdir():
        with contextlib.suppress(OSError):
            if not os.readlink(link).startswith("socket:"):
                continue
            copy = pidfd_getfd(pidfd, int(link.name))
            try:
                yield fcntl.ioctl(copy, SIOCGSKNS)
            finally:
                os.close(copy)
