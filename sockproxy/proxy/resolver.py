"""Names that move: asked for again and again, by a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address, Host
from sockproxy.worker.door import Loop

__all__ = ["Resolver"]

log = logging.getLogger("sockproxy.proxy")

EVERY = 30.0  # seconds


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
        while not self._stopped.wait(EVERY):
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
