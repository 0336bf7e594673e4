"""Which upstream is next: each in turn, but for those that do not answer, whose names may move."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address, Host
from sockproxy.worker.connect import Attempts, Connector
from sockproxy.worker.door import Loop, Timer

__all__ = ["Upstreams"]

log = logging.getLogger("sockproxy.proxy")

RETRY = 1.0  # seconds between two attempts in the background
RESOLVE_EVERY = 30.0  # seconds
# Nobody answered. Others say something else: a refusal is an answer, and cheap; EADDRNOTAVAIL
# and the like are about this host.
SILENCE = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}


class Upstreams:
    """All addresses of the upstreams' hosts, in turn. All methods belong to the loop's thread.

    An address that did not answer is passed over, and tried in the background until it does;
    when no other is left, it is tried all the same. Names are resolved again by a thread.

    timeout: seconds for each attempt in the background. attempts: what is done to its socket.
    """

    def __init__(self, hosts: Sequence[Host], timeout: float, attempts: Attempts) -> None:
        self._hosts = {host: host.addresses for host in hosts}
        self._timeout = timeout
        self._attempts = attempts
        self._turn = 0
        self._addresses = self._all()
        self._silent: dict[Address, _Trial] = {}
        self._loop: Loop | None = None
        self._resolver: Resolver | None = None

    def open(self, loop: Loop) -> None:
        """Begin to look after names and silent upstreams on this loop."""
        self._loop = loop
        if names := [host for host in self._hosts if host.may_change]:
            self._resolver = Resolver(names, loop, self._resolved)

    def close(self) -> None:
        """Look after nothing any more. Twice is allowed."""
        if self._resolver is not None:
            self._resolver.stop()
        for trial in self._silent.values():
            trial.cancel()
        self._silent.clear()

    def next(self, tried: Collection[Address]) -> Address | None:
        """The address whose turn it is, of those not in `tried`; None when all were.

        Each attempt is a turn, also one that fails: so those that serve keep their order.
        """
        count = len(self._addresses)
        order = [(self._turn + step) % count for step in range(count)]
        for passed_over in (False, True):
            for place in order:
                address = self._addresses[place]
                if address not in tried and (address in self._silent) == passed_over:
                    self._turn = (place + 1) % count
                    return address
        return None

    def failed(self, address: Address, number: int) -> bool:
        """An attempt has failed with this errno; whether the address is passed over from now."""
        known = address in self._silent or address not in self._addresses
        if number not in SILENCE or known or self._loop is None:
            return False
        self._silent[address] = _Trial(
            address, self._loop, self._timeout, self._attempts, lambda: self._answers(address)
        )
        if len(self._addresses) > 1:
            log.info(f"upstream {address} does not answer: passed over until it does")
        return True

    def _answers(self, address: Address) -> None:
        del self._silent[address]
        if len(self._addresses) > 1:
            log.info(f"upstream {address} answers again")

    def _all(self) -> list[Address]:
        return list(dict.fromkeys(each for found in self._hosts.values() for each in found))

    def _resolved(self, host: Host, found: Iterable[Address]) -> None:
        """The host has these addresses now."""
        now, before = set(found), self._hosts[host]
        if now == set(before):
            return
        # Who stays keeps its place: name servers give them in another order each time.
        stay = [each for each in before if each in now]
        self._hosts[host] = (*stay, *(each for each in found if each not in before))
        log.info(f"upstream {host} is now {', '.join(map(str, self._hosts[host]))}")
        self._addresses = self._all()
        for gone in self._silent.keys() - set(self._addresses):
            self._silent.pop(gone).cancel()


class _Trial:
    """Attempts in the background, until one is answered: `answered` is called then."""

    def __init__(
        self,
        address: Address,
        loop: Loop,
        timeout: float,
        attempts: Attempts,
        answered: Callable[[], None],
    ) -> None:
        self._address, self._loop, self._timeout = address, loop, timeout
        self._attempts, self._answered = _InBackground(attempts), answered
        self._connector: Connector | None = None
        self._timer: Timer = loop.later(RETRY, self._try)

    def _try(self) -> None:
        self._attempts.number = 0
        self._connector = Connector(
            self._loop,
            lambda tried: None if tried else self._address,
            self._timeout,
            connected=self._connected,
            failed=self._failed,
            attempts=self._attempts,
        )
        self._connector.start()

    def _connected(self, sock: socket.socket) -> None:
        self._attempts.discard(sock)
        self._answered()

    def _failed(self, _why: str) -> None:
        if self._attempts.number == errno.ECONNREFUSED:
            self._answered()
        else:
            self._timer = self._loop.later(RETRY, self._try)

    def cancel(self) -> None:
        self._timer.cancel()
        if self._connector is not None:
            self._connector.cancel()


class _InBackground(Attempts):
    """Attempts of a trial: sockets as for clients, but a failure is only noted."""

    def __init__(self, others: Attempts) -> None:
        self._others = others
        self.number = 0

    def prepare(self, sock: socket.socket, address: Address) -> None:
        self._others.prepare(sock, address)

    def begun(self, sock: socket.socket, address: Address) -> None:
        self._others.begun(sock, address)

    def failed(self, address: Address, number: int) -> None:
        self.number = number

    def discard(self, sock: socket.socket) -> None:
        self._others.discard(sock)


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
                self._tell(lambda: log.info(line))
            return
        self._failing.discard(host)
        self._tell(lambda: self._found(host, found))

    def _tell(self, call: Callable[[], None]) -> None:
        with self._lock:
            if not self._stopped.is_set():
                self._loop.call(call)
