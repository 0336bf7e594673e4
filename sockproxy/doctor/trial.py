"""What a probe tries things with: sockets of its own, spliced, in a bypass, or enrolled."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Iterator

from sockproxy.bpf.splice import SockmapKernel
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.bypass.view import bypass_status
from sockproxy.cgroup import create_owned, is_owner_dead, owner_mark, sweep
from sockproxy.errors import SockproxyError, Unsupported
from sockproxy.net.tcp import loopback_pair
from sockproxy.rundir import pins
from sockproxy.rundir.sight import names
from sockproxy.splicer.splice import Splice
from sockproxy.splicer.splicer import Splicer

__all__ = ["Trial", "converse", "enrolling", "splicer", "tidy"]

NAME = "doctor-"  # of a bypass; then the pid and the start time of the probe's process
SHARE = 0.4  # of a probe's time: one that waits in vain can still say for what
DRAIN = 2.0  # seconds that a bypass has to give its sockets back to TCP


class Trial:
    """One try of a probe, in a process of its own. Closing it twice is allowed.

    seconds: how long the probe may take.
    patience: seconds to wait for a few bytes on loopback.
    """

    def __init__(self, seconds: float) -> None:
        self.patience = seconds * SHARE
        # Only a socket that is seen waiting is bypassed to: all of tcp_pair() are in here.
        self._waiting = select.epoll()

    def close(self) -> None:
        """Close the epoll set; the sockets belong to the probe."""
        self._waiting.close()

    def tcp_pair(self) -> tuple[socket.socket, socket.socket]:
        """Two connected sockets on loopback, with TCP_NODELAY, both in an epoll set."""
        pair = loopback_pair(self.patience)
        for sock in pair:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as servers do
            self._waiting.register(sock, select.EPOLLIN)
        return pair

    def spliced_pair(self, splicer: Splicer) -> tuple[socket.socket, socket.socket, Splice]:
        """The two far ends of a splice, and the splice between them."""
        client, near = self.tcp_pair()
        server, far = self.tcp_pair()
        return client, server, splicer.splice(near, far)

    @contextlib.contextmanager
    def bypassed(self, *, observe: bool = False) -> Iterator[Callable[[str], int]]:
        """This process in a cgroup with a bypass; a function that tells a figure of its status,
        such as "bypassed_messages"."""
        name = NAME + owner_mark().replace(".", "-")
        group = create_owned("doctor")
        try:
            attach(
                name,
                group.path,
                BypassOptions(
                    observe=observe,
                    connections=8,
                    force=True,
                    blocking_readers=True,
                    fionread_is_wrong=False,  # so that nothing shies from a probe that asks
                ),
            )
            try:
                with group.entered():
                    yield lambda figure: int(bypass_status(name)[figure])
            finally:
                detach(name, DRAIN)
        finally:
            group.remove()

    def accept_late(self) -> str:
        """Read what comes before accept(), and have the stream's end wake a poller.

        Returns what was found. Raises SockproxyError where bytes are wrong, and TimeoutError.
        """
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname(), self.patience) as one,
            select.epoll() as poll,
        ):
            one.sendall(b"early")
            other, _ = listener.accept()
            with other:
                other.settimeout(self.patience)
                received = other.recv(100)
                other.sendall(b"answer")
                one.recv(100)
                poll.register(other, select.EPOLLIN)
                one.shutdown(socket.SHUT_WR)
                woken = bool(poll.poll(self.patience / 2))
                end = other.recv(1)
        if (received, end) != (b"early", b""):
            raise SockproxyError(f"received {received!r}, end {end!r}")
        if not woken:  # or not yet
            raise TimeoutError("the end of the stream wakes nobody")
        return "early bytes, and an end that wakes"


@contextlib.contextmanager
def splicer() -> Iterator[Splicer]:
    """A splicer that redirects from the first byte. Raises Unsupported where it would relay."""
    with Splicer(pairs=2, eager=True, force=True) as made:
        if not made.accelerated:
            raise Unsupported("not tried: the programs do not load", hint="see 'splice: moving'")
        yield made


@contextlib.contextmanager
def enrolling() -> Iterator[SockmapKernel]:
    """This process in a cgroup whose connections the splice's sock_ops program enrols."""
    group = create_owned("doctor")
    try:
        with contextlib.closing(SockmapKernel(8)) as kernel:
            with group.opened() as fd:
                kernel.watch_cgroup(fd)
            with group.entered():
                yield kernel
    finally:
        group.remove()


def converse(one: socket.socket, other: socket.socket, turns: int = 8) -> None:
    """Send requests of one byte and their answers, and compare each with what was sent.

    Raises SockproxyError for a byte that came as another.
    """
    for number in range(turns):
        message = bytes([number])
        one.sendall(message)
        got = other.recv(2)
        other.sendall(got)
        if got != message or one.recv(2) != message:
            raise SockproxyError(f"message {number} came as another")


def tidy() -> None:
    """Remove what probes that were killed have left: their bypasses and their cgroups."""
    with contextlib.suppress(SockproxyError):  # no right to, and so nothing was made
        for name in names():
            mark = name.removeprefix(NAME).replace("-", ".")
            if name.startswith(NAME) and is_owner_dead(f"{NAME}.{mark}"):
                with contextlib.suppress(SockproxyError):
                    detach(name, DRAIN)
        pins.collect()
    with contextlib.suppress(SockproxyError):
        sweep()
