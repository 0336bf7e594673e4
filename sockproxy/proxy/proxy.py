"""The proxy: its life from its start to its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from sockproxy.net.address import Address
from sockproxy.proxy.clients import Clients
from sockproxy.proxy.enrolment import Enrolment
from sockproxy.proxy.listeners import BACKLOG
from sockproxy.proxy.options import ProxyOptions
from sockproxy.proxy.service import ProxyService
from sockproxy.proxy.takeover import Taken
from sockproxy.proxy.watchdog import Watchdog
from sockproxy.proxy.workers import Workers
from sockproxy.splicer.acceleration import Acceleration
from sockproxy.splicer.short_circuits import ShortCircuits
from sockproxy.worker.accept import Acceptor
from sockproxy.worker.descriptors import allowance, most_of_a_process
from sockproxy.worker.door import Ended, Limits

__all__ = ["Proxy"]

log = logging.getLogger("sockproxy.proxy")


FOREIGN = (
    "a listening socket is of another cgroup, where it was opened: its clients are enrolled when"
    " they are paired, and stay with the proxy where a bypass has them"
)


class Reloads(Protocol):
    """Has other services for a proxy: sockproxy.proxy.reload."""

    def begin(self) -> bool:
        """From a signal handler: do it in the background; whether that can be."""

    def reload(self) -> dict[str, Any]:
        """From any thread but the loop's: do it, and tell."""


class Proxy:
    """A proxy in the calling thread.

    open() binds and loads; run() serves until stop() has been called and the pairs have
    ended; close() releases everything and may be called at any point.

    Noteworthy events are lines of the logger "sockproxy.proxy" at the level INFO, connections that
    ended or failed at DEBUG; how it came to be accelerated are lines of "sockproxy.splicer".
    """

    def __init__(self, options: ProxyOptions) -> None:
        self.options = options
        self.started = time.time()
        self.worker: Workers
        self.clients: Clients
        self.max_connections = options.max_connections
        """As asked for, or what the limit of file descriptors allows."""
        self.services = [ProxyService(each) for each in options.services]
        self.reloader: Reloads | None = None
        """Who finds out what else it may be asked to do."""
        self._by_number: dict[int, ProxyService] = {}
        self._acceptor: Acceptor | None = None
        self._stops = 0
        self._opened = self._runs = False
        self._acceleration: Acceleration | None = None
        self._enrolment: Enrolment | None = None
        self._circuits: ShortCircuits | None = None

    # -- opening and closing ------------------------------------------------------------

    def open(self, before: Callable[[], None] = lambda: None, taken: Taken | None = None) -> None:
        """Enter a cgroup, bind, load the programs if it is known that they may be used.

        Waits for nobody. Raises SockproxyError; undoes itself. before: is called when there is a
        loop, and before anybody can connect. taken: listening sockets of another proxy, which are
        this one's to have or to close.
        """
        taken = taken or []
        options = self.options
        try:
            limits = Limits(options.budget, options.eager, options.idle_timeout, self._allow())
            self.clients = Clients(self.service_of, one_less=self._one_less)
            self.worker = Workers(
                options.workers, limits, self.clients.on_event, self.clients.wanted
            )
            self._opened = True
            self._acceptor = Acceptor(self.worker.loop, self.clients, most=self.max_connections)
            self.clients.open(self._acceptor)
            for loop in self.worker.other_loops:
                self._acceptor.share(loop)
            for each in self.services:
                self.open_service(each)
            before()
            if not options.relay:
                self._prepare_acceleration()
            for each in self.services:
                each.bind(taken)
            if self._acceleration is not None:
                self._acceleration.begin()
            for each in self.services:
                each.accept()
            self.worker.start()
        except BaseException:
            self.close()
            raise
        finally:
            for _, sockets in taken:
                for sock in sockets:
                    sock.close()

    @property
    def taken(self) -> Taken:
        """Its listening sockets, each once more, which are the caller's. Raises OSError."""
        return [
            (place, [sock.dup() for sock in sockets])
            for each in self.services
            for place, sockets in each.listeners.by_place
        ]

    def _prepare_acceleration(self) -> None:
        options = self.options
        self._enrolment = Enrolment(self.worker.loop, options.name, force=options.force)
        self._acceleration = Acceleration(
            self.worker,
            # Sockets that wait to be accepted have a slot as well.
            self.max_connections + BACKLOG,
            parser=options.parser,
            force=options.force,
            came=self._enrolment.begin,
        )
        if self._acceleration.may_come:
            self._enrolment.enter()
            self._prepare_short_circuit(self._enrolment)

    def _prepare_short_circuit(self, enrolment: Enrolment) -> None:
        if not self.options.short_circuit:
            self.worker.set_circuits((), "--no-short-circuit")
        elif not self.options.parser:
            self.worker.set_circuits((), "the verdict program alone may repeat bytes")
        elif enrolment.cgroup is None:
            self.worker.set_circuits((), f"no cgroup of its own: {enrolment.why_not}")
        else:
            self._circuits = ShortCircuits(self.worker, enrolment.cgroup)
            self._circuits.look()

    def accept_anew(self) -> None:
        """Before run(), when another one has stopped to accept from sockets that were its own: of a
        client that waits only that one may have been told. Raises OSError."""
        for each in self.services:
            each.accept()

    # -- services --------------------------------------------------------------------------

    def open_service(self, service: ProxyService) -> None:
        """Let it be one of ours, which accepts nobody yet. Raises OSError."""
        assert self._acceptor is not None
        service.open(self._acceptor, self.worker.loop)
        self._by_number.update({each.number: each for each in service.parts})

    def replace_services(self, services: list[ProxyService]) -> None:
        """Have these, which were opened, in place of others, whose clients stay until they end."""
        for each in self.services:
            if each not in services:
                each.close()
        for each in services:
            if each not in self.services:
                each.begin()
        self.services = services

    @property
    def is_stopped(self) -> bool:
        """Whether it was, at least once."""
        return self._stops > 0

    @property
    def serves(self) -> bool:
        """Whether its loop runs, and it was not stopped."""
        return self._runs and not self._stops

    def service_of(self, number: int) -> ProxyService:
        """By the number that its clients tell; also one that is ours no more."""
        return self._by_number[number]

    @property
    def listening(self) -> list[Address]:
        """Where it listens, with the ports that it has."""
        return [address for each in self.services for address in each.listening]

    @property
    def may_accelerate(self) -> bool:
        """Whether it relays only for now."""
        if self._acceleration is None or self.worker.kernel is not None:
            return False
        return self._acceleration.may_come

    @property
    def why_no_cgroup(self) -> str:
        """Why sockets are enrolled one by one, when they are paired; "" where they are not."""
        if self._enrolment is None or self.worker.kernel is None:
            return ""
        if not self._enrolment.why_not and self.listens_on_foreign:
            return FOREIGN
        return self._enrolment.why_not

    @property
    def cgroup_id(self) -> int:
        """The kernel's number of the cgroup of its own, which its sockets are of; 0 without one."""
        return 0 if self._enrolment is None else self._enrolment.cgroup_id

    @property
    def listens_on_foreign(self) -> bool:
        """Whether a listening socket was opened elsewhere: its clients are of the cgroup there."""
        return any(each.listeners.foreign for each in self.services)

    def _allow(self) -> int:
        """How many pipes there may be; sockets may be fewer than was asked for, too."""
        asked = self.options.max_connections
        allowed = allowance(asked, self.options.workers)
        self.max_connections = allowed.connections
        if allowed.connections < asked:
            first = " fs.nr_open and" if allowed.need > most_of_a_process() else ""
            log.warning(
                f"{allowed.limit} file descriptors are for {allowed.connections} connections at"
                f" once, not for {asked}: raise{first} 'ulimit -n' to {allowed.need}"
            )
        return allowed.pipes

    def close(self) -> None:
        """End what still runs and release everything. Closing twice is allowed."""
        if self._opened:
            self.worker.halt()
        self.stop_listening()
        if self._acceptor is not None:
            self._acceptor.close()
        if self._acceleration is not None and self._enrolment is not None:
            self._acceleration.close()
            self._enrolment.stop()
        if self._opened:
            self._opened = False
            self.worker.close()
        if self._circuits is not None:
            self._circuits.close()
        if self._enrolment is not None:
            self._enrolment.leave()

    # -- serving ---------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until stopped, which may have been before."""
        if self._stops:
            return
        for each in self.services:
            each.begin()
        self.worker.loop.call(self._begin)
        try:
            self.worker.run()
        finally:
            for each in self.services:
                each.close()

    def _begin(self) -> None:
        self._runs = True

    def watch_over(self, seconds: float, alive: Callable[[], None]) -> None:
        """After open(): call `alive` in time, more often than every so many seconds, from when it
        runs, as long as every worker does what it is asked."""
        Watchdog(self.worker.loop, self.worker.other_loops, seconds, alive).look()

    def stop(self) -> None:
        """From a signal handler: the first call lets pairs finish, the second ends now."""
        self._stops += 1
        if self._opened:
            self.worker.loop.call(self._end_now if self._stops > 1 else self._end_gently)

    def _end_gently(self) -> None:
        self.stop_listening()
        self.worker.want((Ended,))  # the last one ends the loop
        if not self.clients.count:
            self._end_now()
            return
        count, grace = self.clients.count, self.options.grace
        log.info(f"stopping: {count} connections have {grace:g} s to finish")
        self.worker.loop.later(grace, self._end_now)

    def _end_now(self) -> None:
        if self.clients.count:
            log.warning(f"stopped: {self.clients.count} connections were reset")
        self.worker.loop.stop()

    def _one_less(self) -> None:
        """A client has gone."""
        if self._stops and not self.clients.count:
            self.worker.loop.stop()

    def stop_listening(self) -> None:
        """Accept nobody any more. Twice is allowed."""
        if self._acceptor is not None:
            self._acceptor.listen_no_more()
        for each in self.services:
            each.listeners.close()
