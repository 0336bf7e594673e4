"""The proxy: accepts, connects upstream, and pairs the two on an engine."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address, Host, format_address
from sockproxy.net.tcp import close_with_reset, keep_every_end, set_keepalive, spare_pacing
from sockproxy.proxy.enrolment import Enrolment
from sockproxy.proxy.outgoing import Outgoing
from sockproxy.splicer.acceleration import Acceleration
from sockproxy.worker.connect import Connector
from sockproxy.worker.descriptors import (
    SHORTAGE,
    SHORTAGE_PAUSE,
    allowance,
    most_of_a_process,
)
from sockproxy.worker.engine import MIB, Engine
from sockproxy.worker.loop import Timer
from sockproxy.worker.pair import Pair

__all__ = ["Proxy", "ProxyOptions"]

BACKLOG = 1024
ACCEPTS = 64  # before other events have their turn
SHORTAGE_TOLD = 60.0  # seconds between two lines about a shortage


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """What a proxy is to do. Times are in seconds, sizes in bytes.

    upstreams: taken in turn; empty for the original destination of a REDIRECT.
    mark: the SO_MARK of connections to upstreams, for rules to know them by.
    force: accelerate even where doctor found that it is not exact.
    keepalive: seconds of silence before a probe; None to leave the system's default.
    grace: how long running pairs may take to finish after the first stop().
    """

    listen: tuple[Address, ...]
    upstreams: tuple[Host, ...]
    name: str
    connect_timeout: float = 10.0
    idle_timeout: float | None = None
    max_connections: int = 4096
    budget: int = MIB
    relay: bool = False
    eager: bool = False
    parser: bool = True
    force: bool = False
    nodelay: bool = True
    keepalive: int | None = None
    grace: float = 10.0
    mark: int | None = None


class Proxy:
    """A proxy in the calling thread.

    open() binds and loads; run() serves until stop() has been called and the pairs have
    ended; close() releases everything and may be called at any point.

    log: receives one line for each noteworthy event.
    trace: receives one line for each connection that ended or failed.
    """

    def __init__(
        self, options: ProxyOptions, log: Callable[[str], None], trace: Callable[[str], None]
    ) -> None:
        self.options = options
        self.started = time.time()
        self.listening: list[Address] = []
        self.engine: Engine
        self.refused = 0
        """Clients reset because no upstream took them."""
        self.max_connections = options.max_connections
        """As asked for, or what the limit of file descriptors allows."""
        self._shortage_told = -SHORTAGE_TOLD
        self._log, self._trace = log, trace
        self._listeners: list[socket.socket] = []
        self._accepting = False
        self._connecting: dict[socket.socket, Connector] = {}
        self._outgoing = Outgoing(
            options.upstreams,
            options.connect_timeout,
            mark=options.mark,
            prepare=self._prepare,
            connectors=self._connecting.values,
            log=log,
        )
        self._stops = 0
        self._grace: Timer | None = None
        self._opened = False
        self._acceleration: Acceleration | None = None
        self._enrolment: Enrolment | None = None

    # -- opening and closing ------------------------------------------------------------

    def open(self, before: Callable[[], None] = lambda: None) -> None:
        """Enter a cgroup, bind, load the programs if it is known that they may be used.

        Waits for nobody. Raises SockproxyError; undoes itself. before: is called when there is a
        loop, and before anybody can connect.
        """
        options = self.options
        try:
            self.engine = Engine(
                None, budget=options.budget, eager=options.eager,
                idle_timeout=options.idle_timeout, most_pipes=self._allow(),
            )  # fmt: skip
            self._opened = True
            before()
            if not options.relay:
                self._prepare_acceleration()
            for address in options.listen:
                self._listeners.append(self._bind(address))
            if self._acceleration is not None:
                self._acceleration.begin()
            self._accept_again()
        except BaseException:
            self.close()
            raise

    def _prepare_acceleration(self) -> None:
        options = self.options
        self._enrolment = Enrolment(
            self.engine.loop, options.name, force=options.force, log=self._log
        )
        self._acceleration = Acceleration(
            self.engine,
            # Sockets that wait to be accepted have a slot as well.
            self.max_connections + BACKLOG,
            parser=options.parser,
            force=options.force,
            came=self._enrolment.begin,
            log=self._log,
        )
        if self._acceleration.may_come:
            self._enrolment.enter()

    @property
    def may_accelerate(self) -> bool:
        """Whether it relays only for now."""
        if self._acceleration is None or self.engine.kernel is not None:
            return False
        return self._acceleration.may_come

    @property
    def why_no_cgroup(self) -> str:
        """Why sockets are enrolled one by one, when they are paired; "" where they are not."""
        if self._enrolment is None or self.engine.kernel is None:
            return ""
        return self._enrolment.why_not

    def _allow(self) -> int:
        """How many pipes there may be; sockets may be fewer than was asked for, too."""
        asked = self.options.max_connections
        allowed = allowance(asked)
        self.max_connections = allowed.connections
        if allowed.connections < asked:
            first = " fs.nr_open and" if allowed.need > most_of_a_process() else ""
            self._log(
                f"{allowed.limit} file descriptors are for {allowed.connections} connections at"
                f" once, not for {asked}: raise{first} 'ulimit -n' to {allowed.need}"
            )
        return allowed.pipes

    def _bind(self, address: Address) -> socket.socket:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.family == socket.AF_INET6:
                # [::] serves IPv4 as well, as v4-mapped addresses.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if address.loopback:
                spare_pacing(sock)
            keep_every_end(sock)
            sock.bind(address.sockaddr)
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise SockproxyError(
                f"listen on {address}", errno=error.errno, hint="choose another --listen"
            ) from None
        host, port = sock.getsockname()[:2]
        self.listening.append(Address(address.family, host, port))
        return sock

    def close(self) -> None:
        """End what still runs and release everything. Closing twice is allowed."""
        self._close_listeners()
        for client, connector in list(self._connecting.items()):
            connector.cancel()
            close_with_reset(client)
        self._connecting.clear()
        if self._acceleration is not None and self._enrolment is not None:
            self._acceleration.close()
            self._enrolment.stop()
        if self._opened:
            self._opened = False
            self.engine.close()
        if self._enrolment is not None:
            self._enrolment.leave()

    # -- serving ---------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until stopped, which may have been before."""
        if self._stops:
            return
        self._outgoing.open(self.engine.loop)
        try:
            self.engine.loop.run()
        finally:
            self._outgoing.close()

    def stop(self) -> None:
        """From a signal handler: the first call lets pairs finish, the second ends now."""
        self._stops += 1
        if self._opened:
            self.engine.loop.call(self._end_now if self._stops > 1 else self._end_gently)

    def _end_gently(self) -> None:
        self._close_listeners()
        if not self._busy():
            self._end_now()
            return
        live, grace = len(self.engine.pairs), self.options.grace
        self._log(f"stopping: {live} connections have {grace:g} s to finish")
        self._grace = self.engine.loop.later(self.options.grace, self._end_now)

    def _end_now(self) -> None:
        if self.engine.pairs:
            self._log(f"stopped: {len(self.engine.pairs)} connections were reset")
        self.engine.loop.stop()

    def _busy(self) -> bool:
        return bool(self.engine.pairs or self._connecting)

    def _close_listeners(self) -> None:
        for sock in self._listeners:
            if self._accepting:
                self.engine.loop.unwatch(sock.fileno())
            sock.close()
        self._listeners.clear()
        self._accepting = False

    def _accept_again(self) -> None:
        if not self._accepting and self._listeners:
            self._accepting = True
            for sock in self._listeners:
                self.engine.loop.watch(sock.fileno(), select.EPOLLIN, partial(self._accept, sock))

    def _accept_no_more(self) -> None:
        if self._accepting:
            self._accepting = False
            for sock in self._listeners:
                self.engine.loop.unwatch(sock.fileno())

    def _accept(self, listener: socket.socket, _events: int) -> None:
        for _ in range(ACCEPTS):
            if len(self.engine.pairs) + len(self._connecting) >= self.max_connections:
                self._accept_no_more()  # until one ends; new clients wait in the backlog
                return
            try:
                client, peer = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in SHORTAGE:  # the client waits on: it is not taken before
                    self._tell_shortage(error.errno)
                    self._accept_no_more()
                    self.engine.loop.later(SHORTAGE_PAUSE, self._accept_again)
                    return
                continue  # the client gave up while it waited
            client.setblocking(False)
            self._serve(client, peer[:2])

    def _tell_shortage(self, number: int) -> None:
        now = time.monotonic()
        if now - self._shortage_told >= SHORTAGE_TOLD:
            self._shortage_told = now
            self._log(f"accept: {os.strerror(number).lower()}; clients wait")

    def _serve(self, client: socket.socket, peer: tuple[str, int]) -> None:
        """Connect the client's upstream and pair them."""
        self._prepare(client)
        if self._outgoing.comes_back(client, peer):
            self._fail(client, "it is this proxy's own connection")
            return
        candidates = self._outgoing.candidates(client)
        if candidates is None:
            self._fail(client, "no original destination: the connection was not redirected")
            return
        connector = Connector(
            self.engine.loop,
            candidates,
            self.options.connect_timeout,
            connected=partial(self._pair, client),
            failed=partial(self._fail, client),
            attempts=self._outgoing,
        )
        self._connecting[client] = connector
        connector.start()

    def _prepare(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, self.options.nodelay)
        if self.options.keepalive is not None:
            set_keepalive(sock, self.options.keepalive)

    def _pair(self, client: socket.socket, upstream: socket.socket) -> None:
        self._connecting.pop(client, None)
        try:
            self.engine.add(client, upstream, self._on_end)
        except OSError as error:  # one of them was reset before they were paired
            self._outgoing.discard(upstream)
            self._fail(client, (error.strerror or "not connected").lower())

    def _fail(self, client: socket.socket, why: str) -> None:
        """The client is told as TCP would tell it: by a reset."""
        self._connecting.pop(client, None)
        self.refused += 1
        self._trace(f"{_peer(client)} refused: {why}")
        close_with_reset(client)
        self._after_one_ended()

    def _on_end(self, pair: Pair) -> None:
        self._outgoing.ended(pair.b.fd)
        stats = pair.stats()
        ways = []
        for arrow, way in (("->", stats.forward), ("<-", stats.backward)):
            ways.append(f"{arrow} {way.redirected + way.pumped} B ({way.redirected} in the kernel)")
        self._trace(
            f"#{pair.number} {format_address(stats.client)} to {format_address(stats.upstream)} "
            f"{stats.outcome} after {stats.age:.3f} s: {', '.join(ways)}"
        )
        self._after_one_ended()

    def _after_one_ended(self) -> None:
        if self._stops:
            if not self._busy():
                self.engine.loop.stop()
        else:
            self._accept_again()


def _peer(sock: socket.socket) -> str:
    try:
        return format_address(sock.getpeername()[:2])
    except OSError:
        return "a client that had gone"
