"""Other services for a proxy that runs: what a file wants, and what there is, brought together.

A service is known again by its name, or by where it listens. Sockets that stay are never closed,
connections that are there go on as they are. What cannot be done leaves everything as it was.
"""

from __future__ import annotations

import contextlib
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
from sockproxy.proxy.listeners import Listeners
from sockproxy.proxy.options import ProxyOptions, ServiceOptions
from sockproxy.proxy.proxy import Proxy
from sockproxy.proxy.service import ProxyService

__all__ = ["Reloader"]

log = logging.getLogger("sockproxy.proxy")

AT_ONCE = {"services", "grace"}
SHOWN_ELSEWHERE = {"listen", "upstreams", "name"}
PATIENCE = 2.0  # seconds
NOT_NOW = "it does not serve yet, or is about to end"
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
            changes = _bring_together(proxy, options.services)
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


def _bring_together(proxy: Proxy, wanted: tuple[ServiceOptions, ...]) -> list[str]:
    """Have the services that are wanted. What has changed of their rules and upstreams. Nothing
    has, if it raises SockproxyError."""
    old = list(proxy.services)
    found = _known_again(wanted, old)
    services = [
        before if before is not None and before.may_stay(options) else ProxyService(options)
        for before, options in zip(found, wanted, strict=True)
    ]
    holders = _holders(old, found, wanted)
    opened = _open_others(services, wanted, holders)
    changed: list[ProxyService] = []
    try:
        for service, options in zip(services, wanted, strict=True):
            if service not in old:
                proxy.open_service(service)
            elif options.upstreams != service.options.upstreams:
                changed.append(service)
                service.upstreams.change(options.upstreams)
    except BaseException:
        for listeners in opened:
            listeners.close()
        for service in changed:
            with contextlib.suppress(OSError):
                service.upstreams.change(service.options.upstreams)
        raise
    told = _changes(found, wanted)
    _hand_over(old, services, wanted, holders, opened)
    for service, options in zip(services, wanted, strict=True):
        service.change(options)
    proxy.replace_services(services)
    return told


def _changes(found: list[ProxyService | None], wanted: tuple[ServiceOptions, ...]) -> list[str]:
    """Of services that were there before: other upstreams, other rules."""
    told = []
    for before, options in zip(found, wanted, strict=True):
        if before is None:
            continue
        if before.options.upstreams != options.upstreams:
            told.append(f"{before.label} has the upstreams {', '.join(options.upstream_names)}")
        told += [
            f"{before.label} has {each.name.replace('_', '-')} {getattr(options, each.name)}"
            for each in fields(ServiceOptions)
            if each.name not in SHOWN_ELSEWHERE
            and getattr(before.options, each.name) != getattr(options, each.name)
        ]
    return told


def _known_again(
    wanted: tuple[ServiceOptions, ...], old: list[ProxyService]
) -> list[ProxyService | None]:
    """For each the one of its name, or without a name one that listens at its first place."""
    left = list(old)
    found: list[ProxyService | None] = []
    for options in wanted:
        known = [
            each
            for each in left
            if each.options.name == options.name
            and (options.name or each.options.listen[0] in options.listen)
        ]
        found.append(known[0] if known else None)
        left = [each for each in left if each not in known[:1]]
    return found


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
        for where in dict.fromkeys(options.listen):
            holder = has.get(str(where))
            sockets = (holder.listeners if holder is not None else fresh).take(where)
            moved.append((service, where, sockets))
    for each in old:
        each.stop_listening()
    foreign = any(each.foreign for each in (*(one.listeners for one in old), *opened))
    for service, where, sockets in moved:
        service.listeners.put(where, sockets, foreign=foreign)


def _later(before: ProxyOptions, wanted: ProxyOptions) -> list[str]:
    """What is asked for otherwise than what runs, and is not changed in it."""
    names = [
        each.name.replace("_", "-")
        for each in fields(ProxyOptions)
        if each.name not in AT_ONCE and getattr(before, each.name) != getattr(wanted, each.name)
    ]
    return [f"from the next start on: {', '.join(names)}"] if names else []
