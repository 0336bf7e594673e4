"""The upstreams' addresses: those that do not answer, and names that move."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address, Host
from sockproxy.worker.door import Loop, Timer
from sockproxy.worker.service import Service
from sockproxy.worker.targets import Target

__all__ = ["Upstreams"]

log = logging.getLogger("sockproxy.proxy")

RETRY = 1.0  # seconds between two attempts in the background
RESOLVE_EVERY = 30.0  # seconds
ANSWERS = (0, errno.ECONNREFUSED)


class Upstreams:
    """All addresses of the upstreams' hosts. All methods belong to the loop's thread.

    An address that did not answer is passed over, and tried in the background until it does.
    Names are resolved again by a thread.
    """

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = {host: host.addresses for host in hosts}
        self._silent: dict[Address, _Trial] = {}
        self._loop: Loop
        self._service: Service
        self._resolver: Resolver | None = None
        self._closed = False

    def open(self, loop: Loop, service: Service) -> None:
        """Have clients connected to them, and look after names and silent ones on this loop.

        Raises OSError.
        """
        self._loop, self._service = loop, service
        service.set_targets([Target(each) for each in self._all()])

    def begin(self) -> None:
        """The loop runs from now on."""
        names = [host for host in self._hosts if host.may_change]
        if not names or self._closed:
            return
        try:
            self._resolver = Resolver(names, self._loop, self._resolved)
        except RuntimeError:  # there may be no more threads now
            self._loop.later(RESOLVE_EVERY, self.begin)

    def change(self, hosts: Sequence[Host]) -> None:
        """Have these from now on; connections to others go on. Raises OSError, and has those that
        it had."""
        before = self._hosts
        self._hosts = {host: host.addresses for host in hosts}
        try:
            self._service.set_targets([Target(each) for each in self._all()])
        except OSError:
            self._hosts = before
            raise
        self._forget_gone()
        if self._resolver is not None:
            self._resolver.stop()
            self._resolver = None
        self.begin()

    def _forget_gone(self) -> None:
        for gone in self._silent.keys() - set(self._all()):
            self._silent.pop(gone).cancel()

    def close(self) -> None:
        """Look after nothing any more. Twice is allowed."""
        self._closed = True
        if self._resolver is not None:
            self._resolver.stop()
        for trial in self._silent.values():
            trial.cancel()
        self._silent.clear()

    def fell_silent(self, address: Address) -> None:
        """Nobody answered there: the service passes it over from now on. It may have been told
        late, of one that is an upstream no more."""
        if self._closed or address not in self._all():
            return
        self._silent[address] = _Trial(
            address, self._loop, self._service, lambda: self._answers(address)
        )
        if len(self._all()) > 1:
            log.warning(f"upstream {address} does not answer: passed over until it does")

    def _answers(self, address: Address) -> None:
        del self._silent[address]
        self._service.has_answered(address)
        if len(self._all()) > 1:
            log.info(f"upstream {address} answers again")

    def _all(self) -> list[Address]:
        return list(dict.fromkeys(each for found in self._hosts.values() for each in found))

    def _resolved(self, host: Host, found: Iterable[Address]) -> None:
        """The host has these addresses now. It may be told late, of one that is none any more."""
        if self._closed or host not in self._hosts:
            return
        now, before = set(found), self._hosts[host]
        if now == set(before):
            return
        # Who stays keeps its place: name servers give them in another order each time.
        stay = [each for each in before if each in now]
        self._hosts[host] = (*stay, *(each for each in found if each not in before))
        try:
            self._service.set_targets([Target(each) for each in self._all()])
        except OSError:  # no memory: when it is resolved again there may be some
            self._hosts[host] = before
            return
        log.info(f"upstream {host} is now {', '.join(map(str, self._hosts[host]))}")
        self._forget_gone()


class _Trial:
    """Attempts in the background, until one is answered: `answered` is called then."""

    def __init__(
        self, address: Address, loop: Loop, service: Service, answered: Callable[[], None]
    ) -> None:
        self._address, self._loop, self._service = address, loop, service
        self._answered = answered
        self._forget: Callable[[], None] = lambda: None
        self._timer: Timer = loop.later(RETRY, self._try)

    def _try(self) -> None:
        try:
            self._forget = self._service.try_once(self._address, self._tried)
        except OSError as error:
            self._tried(error.errno or errno.ENOMEM)

    def _tried(self, number: int) -> None:
        if number in ANSWERS:
            self._answered()
        else:
            self._timer = self._loop.later(RETRY, self._try)

    def cancel(self) -> None:
        self._timer.cancel()
        self._forget()


class Resolver:
    """A thread that asks for the addresses of names, over and over: the loop waits for nobody.

    found: called on the loop's thread with a host and its addresses. Where a name cannot be
    resolved, nothing changes, and one line tells it.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        loop: Loop,
        found: Callable[[Host, tuple[Address, ...]], None],
    ) -> None:
        self._hosts, self._loop, self._found = hosts, loop, found
        self._failing: set[Host] = set()
        self._lock = threading.Lock()  # after stop() the loop may be closed
        self._stopped = threading.Event()
        # A daemon: a name server that does not answer must not hold up the end.
        threading.Thread(target=self._run, name="resolver", daemon=True).start()

    def stop(self) -> None:
        """Tell nothing any more."""
        with self._lock:
            self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(RESOLVE_EVERY):
            for host in self._hosts:
                self._resolve(host)

    def _resolve(self, host: Host) -> None:
        try:
            found = host.resolve()
        except SockproxyError as error:
            line = f"{error.failure}: the addresses that it had stay in use"
            if host not in self._failing:
                self._failing.add(host)
                self._tell(lambda: log.warning(line))
            return
        self._failing.discard(host)
        self._tell(lambda: self._found(host, found))

    def _tell(self, call: Callable[[], None]) -> None:
        with self._lock:
            if not self._stopped.is_set():
                self._loop.call(call)
