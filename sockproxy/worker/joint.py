"""What goes past a proxied connection: from its client to its upstream without us."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence

from sockproxy.bpf.abi import Join, Refusal, Role
from sockproxy.bpf.seam import Past, ShortCircuit
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import socket_cookie
from sockproxy.worker.loop import Timer

__all__ = ["IT_STREAMS", "Joint"]

NO_CONVERSATION = "no conversation so far"
WHY_NOT = {
    Refusal.NO_CLIENT: "the client is not enrolled in a bypass",
    Refusal.NO_UPSTREAM: "the upstream is not enrolled in a bypass",
    Refusal.MISFIT: "the client did not open its connection, or the upstream did not accept",
    Refusal.CLOSED: "one of the ends has to stay with TCP, or ends",
    Refusal.WAITS: "the proxy behind this one has not joined yet",
    Refusal.FULL: "the bypass has as many connections as it may have",
    Refusal.DRAINS: "the bypass is being detached",
}
IT_STREAMS = "it streams"
UNJOINED = "its bytes have to be seen from now on"
PATIENCE, WAIT = 100, 0.001  # looks for a message that is on its way, and seconds between them


class Joint:
    """Of one connection. read() belongs to every thread, the others to the loop's.

    circuits: the bypasses in which it may be made, looked at when that is asked for.
    why_none: why there are none. never: it is not to be asked for.
    """

    __slots__ = (
        "_circuit",
        "_circuits",
        "_cookies",
        "_hopeless",
        "_never",
        "_past",
        "_reads",
        "why_not",
    )

    def __init__(
        self, circuits: Callable[[], Sequence[ShortCircuit]], why_none: str, *, never: bool = False
    ) -> None:
        self._circuits = circuits
        self.why_not = why_none or NO_CONVERSATION
        """Why messages do not go past the connection; "" where they may."""
        self._circuit: ShortCircuit | None = None
        self._cookies = (0, 0)
        self._past = Past()
        self._reads = threading.Lock()
        self._never = False
        self._hopeless = never

    def begin(self, client: socket.socket, upstream: socket.socket, why_relayed: str) -> None:
        """The connection begins. why_relayed: why the kernel will never move its bytes; "" where it
        may."""
        if why_relayed or self._hopeless:
            self.give_up(client, upstream, why_relayed or self.why_not)

    def make(self, client: socket.socket, upstream: socket.socket) -> None:
        """It is a conversation: have the rest of it go past us, if it may."""
        if self._circuit is not None or self._never:
            return
        refused = False
        for circuit in self._circuits():
            if not any(self._cookies):
                self._cookies = socket_cookie(client), socket_cookie(upstream)
            try:
                past = circuit.ask(Join.MAKE, *self._cookies)
                if past.why_not in (Refusal.NONE, Refusal.WAITS):
                    self._circuit, self._past = circuit, past
                    self.why_not = WHY_NOT.get(past.why_not, "")
                    self._never_delay(client, upstream)
                    return
                self.why_not = WHY_NOT[past.why_not]
                if past.why_not is not Refusal.DRAINS:
                    refused = True  # nor will it be later: the ends need not wait
                    circuit.ask(Join.END, *self._cookies)
            except SockproxyError as error:
                self.why_not = str(error)
        self._never = refused

    def give_up(self, client: socket.socket, upstream: socket.socket, why: str) -> None:
        """It is none, and will be none: unless it goes past us already the ends need not wait for
        that, as it costs them something."""
        self.read()  # another proxy may have joined it meanwhile
        if self._never or (self._circuit is not None and self.why_not != WHY_NOT[Refusal.WAITS]):
            return
        self._never, self.why_not = True, why
        with contextlib.suppress(OSError, SockproxyError):
            for circuit in self._circuits():
                circuit.ask(Join.END, socket_cookie(client), socket_cookie(upstream))

    @staticmethod
    def _never_delay(*sockets: socket.socket) -> None:
        """What goes past us acknowledges nothing: with Nagle's algorithm we might wait for that."""
        with contextlib.suppress(OSError):
            for sock in sockets:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self) -> Past:
        """What went past so far: at the end too, when the kernel knows it no more."""
        circuit = self._circuit
        if circuit is None:
            return self._past
        was_stopped = circuit.stopped
        try:
            now = circuit.ask(Join.READ, *self._cookies)
        except SockproxyError:
            return self._past
        with self._reads:  # a slower reader must not put an older count over a newer one
            if now.bytes >= self._past.bytes:
                self._past = now
                if not self._never:
                    self.why_not = WHY_NOT.get(now.why_not, "")
            if was_stopped and now.why_not is not Refusal.NONE:
                self._circuit = None  # and with it, after all of its connections, its maps
            return self._past

    def left_unread(self, role: Role) -> bool:
        """Whether the client (OPENER) or the upstream (ACCEPTER) has closed its connection with
        bytes unread that went past us: TCP would have made that a RST."""
        return bool(self.read().unread & role)

    def end(
        self, later: Callable[[float, Callable[[], None]], Timer], done: Callable[[bool], None]
    ) -> None:
        """Let nothing go past us any more, and call `done` when all that did has arrived; with
        False where that takes too long."""
        circuit, self._never = self._circuit, True
        if circuit is None:
            done(True)
            return
        self.why_not = UNJOINED
        left = PATIENCE

        def look() -> None:
            nonlocal left
            left -= 1
            try:
                busy = circuit.ask(Join.END, *self._cookies).busy
            except SockproxyError:
                busy = True
            if busy and left:
                later(WAIT, look)
            else:
                done(not busy)

        look()
