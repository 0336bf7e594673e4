"""What systemd gives a service: sockets that it listens on, and somebody to tell how it is.

sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3) describe both.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass

from sockproxy.errors import UsageError
from sockproxy.net.address import Address, parse_address
from sockproxy.net.unix import unix_name

__all__ = ["SYSTEMD", "Passed", "address_of", "notify", "parse_listen", "watchdog_seconds"]

SYSTEMD = "systemd"
FIRST = 3  # descriptor
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


@dataclass(frozen=True, slots=True)
class Passed:
    """Listening sockets that systemd opened: those called `name` (FileDescriptorName=), or, with
    "", all of them."""

    name: str = ""

    def __str__(self) -> str:
        return f"{SYSTEMD}:{self.name}" if self.name else SYSTEMD

    def take(self) -> list[socket.socket]:
        """Them, each once more: they stay open in this process, for a time when they are wanted
        again. No child inherits them.

        Raises UsageError where there is none, or one is no listening socket of TCP or AF_UNIX.
        """
        names = _names()
        chosen = [fd for fd, name in names.items() if self.name in ("", name)]
        if not chosen:
            has = f"it passed {', '.join(names.values())}" if names else "it passed none"
            raise UsageError(
                f"listen on {self}: {has}",
                hint="start it by a .socket unit, whose FileDescriptorName= is the name",
            )
        taken: list[socket.socket] = []
        try:
            for fd in chosen:
                taken.append(_listening(fd, names[fd]))
        except UsageError:
            for each in taken:
                each.close()
            raise
        return taken


def parse_listen(text: str) -> Address | Passed:
    """``HOST:PORT``, ``:PORT``, ``unix:/PATH``, ``systemd`` or ``systemd:NAME``. Raises
    UsageError."""
    kind, _, name = text.partition(":")
    return Passed(name) if kind == SYSTEMD else parse_address(text, passive=True)


def _names() -> dict[int, str]:
    """By descriptor, of those that are for us."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    try:
        count = int(os.environ.get("LISTEN_FDS", ""))
    except ValueError:
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    names += ["unknown"] * (count - len(names))
    fds = range(FIRST, FIRST + count)
    return dict(zip(fds, names, strict=False))


def _listening(fd: int, name: str) -> socket.socket:
    wrong = UsageError(
        f"systemd's socket {name} is no listening stream socket",
        hint="use ListenStream=ADDR:PORT, or ListenStream=/PATH",
    )
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=os.dup(fd))
    except OSError:
        raise wrong from None
    is_stream = sock.family in _FAMILIES and sock.type == socket.SOCK_STREAM
    if not is_stream or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise wrong
    return sock


def address_of(sock: socket.socket) -> Address:
    """Where a socket is bound."""
    if sock.family == socket.AF_UNIX:
        name = sock.getsockname()
        return Address(
            sock.family, unix_name(name if isinstance(name, bytes) else os.fsencode(name)), 0
        )
    host, port = sock.getsockname()[:2]
    return Address(sock.family, host, port)


def notify(*told: str) -> None:
    """Tell it lines such as "READY=1"; nothing happens where nobody asked to be told."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    where = f"\0{path[1:]}" if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto("\n".join(told).encode(), where)


def watchdog_seconds() -> float | None:
    """How often it wants to hear "WATCHDOG=1" at least; None: it does not."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        seconds = int(os.environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 else None
