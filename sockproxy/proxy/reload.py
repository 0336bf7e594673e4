"""Other services for a proxy that runs: what a file wants, and what there is, brought together.

A service is known again by its name, or by where it listens. Sockets that stay are never closed,
connections that are there go on as they are. What cannot be done leaves everything as it was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from sockproxy.errors import SockproxyError
from sockproxy.net.systemd import notify
from sockproxy.proxy.config import Configuration
from sockproxy.proxy.listeners import Listeners
from sockproxy.proxy.options import ProxyOptions, ServiceOptions
from sockproxy.proxy.proxy import Proxy
from sockproxy.proxy.service import ProxyService

__all__ = ["Reloader"]

log = logging.getLogger("sockproxy.proxy")

AT_ONCE = {"services", "grace"}
Holders = dict[str, ProxyService]
"""By the name of a place, whose listening sockets are there."""


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

    def begin(self) -> None:
        """From a signal handler: reload, in a thread of its own, and tell it in the log."""
        try:
            threading.Thread(target=self.reload, name="sockproxy-reload", daemon=True).start()
        except RuntimeError:
            log.warning("not reloaded: there may be no more threads now")

    def reload(self) -> dict[str, Any]:
        """From any thread but the loop's: read it, and apply it there. What has changed, one line
        for each; or why nothing was ("error")."""
        with self._lock:
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
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

    def _apply(self, wanted: Configuration) -> list[str]:
        proxy, options = self._proxy, wanted.options
        if proxy.is_ending:
            raise SockproxyError("it is about to end")
        before, had = proxy.options, proxy.listening
        try:
            upstreams = _bring_together(proxy, options.services)
        except OSError as error:  # no memory
            raise SockproxyError("serve", errno=error.errno) from None
        proxy.options = replace(before, services=options.services, grace=options.grace)
        self._applied(wanted)
        proxy.worker.want(proxy.clients.wanted)  # a log has other levels, perhaps
        has = proxy.listening
        return [
            *(f"listens on {each}" for each in has if each not in had),
            *(f"listens no more on {each}" for each in had if each not in has),
            *upstreams,
            *_later(before, options),
        ] or ["nothing has changed"]


def _bring_together(proxy: Proxy, wanted: tuple[ServiceOptions, ...]) -> list[str]:
    """Have the services that are wanted. What has changed of upstreams. Nothing has, if it raises
    SockproxyError."""
    old = list(proxy.services)
    found = [_known_again(each, old) for each in wanted]
    services = [
        before if before is not None and before.may_stay(options) else ProxyService(options)
        for before, options in zip(found, wanted, strict=True)
    ]
    holders = _holders(old, found, wanted)
    opened = _open_others(services, wanted, holders)
    try:
        for each in services:
            if each not in old:
                proxy.open_service(each)
    except BaseException:
        for listeners in opened:
            listeners.close()
        raise
    _hand_over(old, services, wanted, holders, opened)
    told = []
    for service, before, options in zip(services, found, wanted, strict=True):
        if before is None or before.options.upstreams != options.upstreams:
            names = ", ".join(options.upstream_names)
            told.append(f"{', '.join(map(str, options.listen))} has the upstreams {names}")
        service.change(options)
    proxy.replace_services(services)
    return told


def _known_again(wanted: ServiceOptions, old: list[ProxyService]) -> ProxyService | None:
    """The one of that name; of those without a name, one that listens at the first place."""
    for each in old:
        has = each.options
        if has.name == wanted.name and (wanted.name or has.listen[0] in wanted.listen):
            return each
    return None


def _holders(
    old: list[ProxyService],
    found: list[ProxyService | None],
    wanted: tuple[ServiceOptions, ...],
) -> list[Holders]:
    """Of the places of each that is wanted: who has the sockets there. First its own: with port 0
    the places of many have one name."""
    free = {(str(where), each) for each in old for where in each.options.listen}
    holders: list[Holders] = [{} for _ in wanted]
    for candidates in (lambda before: [before], lambda before: old):
        for options, before, has in zip(wanted, found, holders, strict=True):
            for place in map(str, options.listen):
                for each in candidates(before):
                    if place not in has and (place, each) in free:
                        free.remove((place, each))
                        has[place] = each
    return holders


def _open_others(
    services: list[ProxyService],
    wanted: tuple[ServiceOptions, ...],
    holders: list[Holders],
) -> list[Listeners]:
    """Sockets for the places where nobody listened, by the services that will have them."""
    opened: list[Listeners] = []
    try:
        for service, options, has in zip(services, wanted, holders, strict=True):
            opened.append(service.new_listeners())
            for where in options.listen:
                if str(where) not in has:
                    opened[-1].open(where)
    except BaseException:
        for each in opened:
            each.close()
        raise
    return opened


def _hand_over(
    old: list[ProxyService],
    services: list[ProxyService],
    wanted: tuple[ServiceOptions, ...],
    holders: list[Holders],
    opened: list[Listeners],
) -> None:
    """Each socket to who is to have it. Those that nobody is to have are closed."""
    moved = []
    for service, options, has, fresh in zip(services, wanted, holders, opened, strict=True):
        for where in options.listen:
            holder = has.get(str(where))
            sockets = (holder.listeners if holder is not None else fresh).take(where)
            moved.append((service, where, sockets))
    for each in old:
        each.stop_listening()
    for service, where, sockets in moved:
        service.listeners.put(where, sockets)


def _later(before: ProxyOptions, wanted: ProxyOptions) -> list[str]:
    """What is asked for otherwise than what runs, and is not changed in it."""
    names = [
        each.name.replace("_", "-")
        for each in fields(ProxyOptions)
        if each.name not in AT_ONCE and getattr(before, each.name) != getattr(wanted, each.name)
    ]
    return [f"from the next start on: {', '.join(names)}"] if names else []
