"""Network namespaces without a name: they end with the last process and descriptor inside, so
that nothing is left even when this process is killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

from sockproxy.errors import KernelError, PermissionDenied
from sockproxy.syscalls import CLONE_NEWNET, setns, unshare

__all__ = ["Namespace", "current_inode", "entered", "open_current"]

CURRENT = "/proc/thread-self/ns/net"
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1


class Namespace:
    """A new network namespace with its loopback up, held by a descriptor.

    Raises PermissionDenied without CAP_SYS_ADMIN, and KernelError.
    """

    def __init__(self) -> None:
        home = open_current()
        try:
            with _told("make a network namespace"):
                unshare(CLONE_NEWNET)
            try:
                self.fd = open_current()
            finally:
                _return_to(home)
        finally:
            os.close(home)
        with self.entered():
            _set_up("lo")

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """Put this thread, and what it starts meanwhile, into the namespace."""
        return entered(self.fd)

    def close(self) -> None:
        """Close the descriptor; the namespace ends with the last process inside."""
        os.close(self.fd)


@contextlib.contextmanager
def entered(fd: int) -> Iterator[None]:
    """Put this thread, and what it starts meanwhile, into the namespace that is open at `fd`."""
    home = open_current()
    try:
        with _told("enter a network namespace"):
            setns(fd, CLONE_NEWNET)
        try:
            yield
        finally:
            _return_to(home)
    finally:
        os.close(home)


def open_current() -> int:
    """A descriptor of this thread's network namespace; the caller closes it."""
    return os.open(CURRENT, os.O_RDONLY | os.O_CLOEXEC)


def current_inode() -> int:
    """The number of this thread's network namespace."""
    return os.stat(CURRENT).st_ino


def _return_to(home: int) -> None:
    with _told("return to the network namespace"):
        setns(home, CLONE_NEWNET)


@contextlib.contextmanager
def _told(doing: str) -> Iterator[None]:
    """A system call inside of the `with` that fails is an error of ours."""
    try:
        yield
    except OSError as error:
        kind = PermissionDenied if error.errno == errno.EPERM else KernelError
        raise kind(doing, errno=error.errno) from None


def _set_up(interface: str) -> None:
    """Set an interface up, as `ip link set INTERFACE up` does.

    By ioctl(2): doctor makes a namespace for each probe, and pyroute2, which speaks rtnetlink,
    takes longer to import than all probes take to run.
    """
    request = struct.Struct("16sh22x")  # struct ifreq: its name, its flags
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, SIOCGIFFLAGS, request.pack(interface.encode(), 0))
        _, flags = request.unpack(answer)
        fcntl.ioctl(sock, SIOCSIFFLAGS, request.pack(interface.encode(), flags | IFF_UP))
