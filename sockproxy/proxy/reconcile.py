"""The services that are wanted, and those that there are, brought together.

One is known again by its name, or by where it listens. It stays where its upstreams or places
alone are others, and else another takes its place. Sockets that stay are never closed, whoever has
them; connections that are there go on as they are.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import fields

from sockproxy.errors import SockproxyError
from sockproxy.proxy.listeners import Listeners
from sockproxy.proxy.options import ServiceOptions
from sockproxy.proxy.proxy import Proxy
from sockproxy.proxy.service import ProxyService

__all__ = ["bring_together"]

log = logging.getLogger("sockproxy.proxy")

SHOWN_ELSEWHERE = {"listen", "upstreams", "name", "rules", "routes", "only_routes"}
MOST_TOLD = 10  # routes
NO_UPSTREAMS = "no upstreams but those of its routes"
Holders = dict[str, ProxyService]
"""By the name of a place, whose listening sockets are there."""


def bring_together(proxy: Proxy, wanted: tuple[ServiceOptions, ...]) -> list[str]:
    """Have the services that are wanted. What has changed of their rules and upstreams. Nothing
    has, if it raises SockproxyError."""
    old = list(proxy.services)
    found = _known_again(wanted, old)
    services = [
        before if before is not None and before.may_stay(options) else ProxyService(options)
        for before, options in zip(found, wanted, strict=True)
    ]
    for before, service in zip(found, services, strict=True):
        if before is not None and before is not service:
            service.go_on_from(before)
    holders = _holders(old, found, wanted)
    opened = _open_others(services, wanted, holders)
    changed: list[ProxyService] = []
    try:
        for service, options in zip(services, wanted, strict=True):
            if service not in old:
                proxy.open_service(service)
            elif options.pool != service.options.pool:
                changed.append(service)
                service.upstreams.change(options.pool)
    except BaseException:
        for listeners in opened:
            listeners.close()
        for service in changed:
            with contextlib.suppress(OSError):
                service.upstreams.change(service.options.pool)
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
            described = [each.described for each in options.upstreams] or options.upstream_names
            names = ", ".join(described)
            told.append(f"{before.label} has {f'the upstreams {names}' if names else NO_UPSTREAMS}")
        told += _changed_routes(before, options)
        told += [
            f"{before.label} has {name.replace('_', '-')} {_said(value)}"
            for name, value in _others(before.options, options)
        ]
    return told


def _changed_routes(before: ProxyService, now: ServiceOptions) -> list[str]:
    """Those of some names, and how many more there are."""
    old, new = before.options.routed_names, now.routed_names
    told = [
        f"{before.label} has the route {name} to {new[name]}" if name in new
        else f"{before.label} has no route {name} any more"
        for name in dict.fromkeys((*new, *old))
        if old.get(name) != new.get(name)
    ]  # fmt: skip
    more = len(told) - MOST_TOLD
    return [*told[:MOST_TOLD], f"{before.label} has {more} more other routes"] if more > 0 else told


def _others(before: ServiceOptions, now: ServiceOptions) -> list[tuple[str, object]]:
    """What differs of two: its name, and what it is now."""
    return [
        (each.name, getattr(new, each.name))
        for old, new in ((before, now), (before.rules, now.rules))
        for each in fields(new)
        if each.name not in SHOWN_ELSEWHERE and getattr(old, each.name) != getattr(new, each.name)
    ]


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


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
    """Each socket to who is to have it. Those that nobody is to have are closed. What cannot be set
    of one is told: by now there is no way back."""
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
        try:
            service.listeners.put(where, sockets, foreign=foreign)
        except SockproxyError as error:
            log.warning(f"{error}: it has the options from before")
