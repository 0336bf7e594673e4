"""Other services for a proxy that runs, from its file.

The file is read by whoever asks, what it says is applied on the loop's thread (reconcile.py). What
cannot be done leaves everything as it was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address
from sockproxy.net.systemd import notify
from sockproxy.proxy.config import Configuration
from sockproxy.proxy.options import ProxyOptions
from sockproxy.proxy.proxy import Proxy
from sockproxy.proxy.reconcile import bring_together

__all__ = ["Reloader"]

log = logging.getLogger("sockproxy.proxy")

AT_ONCE = {"services", "grace"}
PATIENCE = 2.0  # seconds
NOT_NOW = "it does not serve yet, or is about to end"


class Reloader:
    """Of one proxy. read: what is wanted now; it may take long, and raise SockproxyError.
    applied: is given that when it is done."""

    def __init__(
        self,
        proxy: Proxy,
        read: Callable[[], Configuration],
        applied: Callable[[Configuration], None],
    ) -> None:
        self._proxy, self._read, self._applied = proxy, read, applied
        self._lock = threading.Lock()  # one after another

    def begin(self) -> bool:
        """From a signal handler: reload, in a thread of its own, and tell it in the log. Whether
        there may be one."""
        try:
            threading.Thread(target=self.reload, name="sockproxy-reload", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def reload(self) -> dict[str, Any]:
        """From any thread but the loop's: read it, and apply it there. What has changed, one line
        for each; or why nothing was ("error")."""
        with self._lock:
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                self._wait()
                wanted = self._read()
                changes: list[str] = []
                self._proxy.worker.loop.do(lambda: changes.extend(self._apply(wanted)))
                error = ""
            except SockproxyError as failure:
                changes, error = [], str(failure)
                log.warning(f"not reloaded, all is as it was: {error}")
            finally:
                notify("READY=1")
        for line in changes:
            log.info(f"reloaded: {line}")
        return {"changes": changes, "error": error}

    def _wait(self) -> None:
        """A moment, for one that is about to serve: systemd knows of it already."""
        deadline = time.monotonic() + PATIENCE
        while not self._proxy.serves:
            if self._proxy.is_stopped or time.monotonic() > deadline:
                raise SockproxyError(NOT_NOW)
            time.sleep(0.01)

    def _apply(self, wanted: Configuration) -> list[str]:
        proxy, options = self._proxy, wanted.options
        if not proxy.serves:
            raise SockproxyError(NOT_NOW)
        before, had = proxy.options, _listening(proxy)
        try:
            changes = bring_together(proxy, options.services)
        except OSError as error:  # no memory
            raise SockproxyError("serve", errno=error.errno) from None
        proxy.options = replace(before, services=options.services, grace=options.grace)
        self._applied(wanted)
        proxy.worker.want(proxy.clients.wanted)  # a log has other levels, perhaps
        has = _listening(proxy)
        if options.grace != before.grace:
            changes.append(f"grace is {options.grace:g} s")
        return [
            *(f"{label} listens on {each}" for label, each in has if (label, each) not in had),
            *(
                f"{label} listens no more on {each}"
                for label, each in had
                if (label, each) not in has
            ),
            *changes,
            *_later(before, options),
        ] or ["nothing has changed"]


def _listening(proxy: Proxy) -> list[tuple[str, Address]]:
    return [(each.label, address) for each in proxy.services for address in each.listening]


def _later(before: ProxyOptions, wanted: ProxyOptions) -> list[str]:
    """What is asked for otherwise than what runs, and is not changed in it."""
    names = [
        each.name.replace("_", "-")
        for each in fields(ProxyOptions)
        if each.name not in AT_ONCE and getattr(before, each.name) != getattr(wanted, each.name)
    ]
    return [f"from the next start on: {', '.join(names)}"] if names else []
