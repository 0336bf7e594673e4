"""The upstreams of a service: those that do not answer, are down, or rise, and names that move."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from time import monotonic
from typing import Any

from sockproxy.net.address import Address, Host, in_turn
from sockproxy.proxy.check import Way
from sockproxy.proxy.health import Checks
from sockproxy.proxy.member import Member, Trial, report_of_gone
from sockproxy.proxy.pool import Health, Pool, Upstream
from sockproxy.proxy.resolver import Resolver
from sockproxy.worker.door import Loop, Timer
from sockproxy.worker.service import Service
from sockproxy.worker.targets import TargetStats

__all__ = ["Upstreams"]

log = logging.getLogger("sockproxy.proxy")

LATER = 1.0  # seconds until it is tried again, for want of memory or threads
STEPS = 32  # in which a share rises
SHORTEST_STEP = 0.1  # seconds
Found = dict[Upstream, tuple[Address, ...]]


class Upstreams:
    """All addresses of the upstreams' hosts. All methods belong to the loop's thread, but report().

    An address that did not answer is passed over, and tried in the background until it does. One
    that is down by its checks has no new clients. Names are resolved again by a thread.

    name: of the service, for the log; "" where it needs none. way: how checks go.
    """

    def __init__(self, pool: Pool, name: str = "", way: Way | None = None) -> None:
        self._pool, self._way = pool, way or Way()
        self._name, self._of = name, f" of {name}" if name else ""
        self._found: Found = {}
        self._members: dict[Address, Member] = {}
        self._loop: Loop
        self._service: Service
        self._resolver: Resolver | None = None
        self._step: Timer | None = None
        self._all_down = self._runs = self._closed = False
        self._to_tell = False

    def go_on_from(self, other: Upstreams) -> None:
        """Before open(): what checks have found there is known here as well."""
        for address, theirs in other._members.items():
            if self._pool.health is not None and theirs.checks is not None:
                member = self._members[address] = Member(address, theirs.upstream)
                member.checks = self._new_checks(member, self._pool.health, theirs.checks)

    def open(self, loop: Loop, service: Service) -> None:
        """Have clients connected to them, and look after names and silent ones on this loop.

        Raises OSError.
        """
        self._loop, self._service = loop, service
        self._have(self._pool, {each: each.host.addresses for each in self._pool.upstreams})

    def begin(self) -> None:
        """The loop runs from now on."""
        self._runs = True
        self._begin_checks()
        self._resolve()

    def _resolve(self) -> None:
        names = [each.host for each in self._found if each.host.may_change]
        if not names or self._closed:
            return
        try:
            self._resolver = Resolver(names, self._loop, self._resolved)
        except RuntimeError:  # there may be no more threads now
            self._loop.later(LATER, self._resolve)

    def change(self, pool: Pool) -> None:
        """Have these from now on; connections to others go on. Raises OSError, and has those that
        it had."""
        self._have(pool, {each: each.host.addresses for each in pool.upstreams})
        if self._resolver is not None:
            self._resolver.stop()
            self._resolver = None
        if self._runs:
            self._resolve()

    def close(self) -> None:
        """Look after nothing any more. Twice is allowed."""
        self._closed = True
        if self._resolver is not None:
            self._resolver.stop()
        if self._step is not None:
            self._step.cancel()
        for each in self._members.values():
            each.cancel()

    # -- who they are --------------------------------------------------------------------

    def _have(self, pool: Pool, found: Found) -> None:
        """Have these. Raises OSError, and has those that it had."""
        wanted: dict[Address, Upstream] = {}
        for upstream, addresses in found.items():
            for address in addresses:
                wanted.setdefault(address, upstream)
        members = {at: self._members.get(at) or Member(at, wanted[at]) for at in wanted}
        self._service.set_targets([members[at].target(wanted[at], pool) for at in wanted])
        for gone in self._members.keys() - members.keys():
            self._members[gone].cancel()
        self._pool, self._found, self._members = pool, found, members
        for at, member in members.items():
            member.upstream = wanted[at]
            self._check_by(pool.health, member)
        self._begin_checks()
        self._look_whether_all_are_down()

    def _tell_soon(self) -> None:
        """How they stand. A thousand of them may turn at the same moment."""
        if not self._to_tell:
            self._to_tell = True
            self._loop.later(0.0, self._tell)

    def _tell(self) -> None:
        """Tell the worker how they stand."""
        self._to_tell = False
        if self._closed:
            return
        members = self._members.values()
        try:
            self._service.set_targets([each.target(each.upstream, self._pool) for each in members])
        except OSError:  # no memory: a moment later there may be some
            self._loop.later(LATER, self._tell)
        self._look_whether_all_are_down()

    def _resolved(self, host: Host, found: Iterable[Address]) -> None:
        """The host has these addresses now. It may be told late, of one that is none any more."""
        upstream = next((each for each in self._found if each.host == host), None)
        if self._closed or upstream is None:
            return
        now, before = set(found), self._found[upstream]
        if now == set(before):
            return
        # Who stays keeps its place: name servers give them in another order each time.
        stay = [each for each in before if each in now]
        fresh = in_turn((*stay, *(each for each in found if each not in before)))
        try:
            self._have(self._pool, {**self._found, upstream: fresh})
        except OSError:  # no memory: when it is resolved again there may be some
            return
        log.info(f"upstream {host} is now {', '.join(map(str, fresh))}")

    # -- those that do not answer --------------------------------------------------------

    def fell_silent(self, address: Address) -> None:
        """Nobody answered there: the service passes it over from now on. It may have been told
        late, of one that is an upstream no more."""
        member = self._members.get(address)
        if self._closed or member is None or member.trial is not None:
            return
        member.trial = Trial(address, self._loop, self._service, partial(self._answers, member))
        if len(self._members) > 1:
            self._warn(member, "silent", "does not answer: passed over until it does")

    def _answers(self, member: Member) -> None:
        member.trial = None
        self._service.has_answered(member.address)
        if len(self._members) > 1:
            self._inform(member, "answers again")
        self._let_rise(member)

    # -- those that fail their checks ----------------------------------------------------

    def _new_checks(self, member: Member, how: Health, before: Checks | None = None) -> Checks:
        found = partial(self._found_by_checks, member)
        return Checks(member.address, how, self._way, found, before)

    def _check_by(self, how: Health | None, member: Member) -> None:
        """From now on; None for not at all."""
        if how is None and member.checks is not None:
            member.checks.cancel()
            member.checks = None
        elif how is not None and member.checks is None:
            member.checks = self._new_checks(member, how)
        elif how is not None and member.checks is not None:
            member.checks.change(how)

    def _begin_checks(self) -> None:
        for each in self._members.values():
            if self._runs and each.checks is not None:
                each.checks.begin(self._loop)

    def _found_by_checks(self, member: Member) -> None:
        """It is down, or up again."""
        checks = member.checks
        if checks is None:
            return
        if checks.up:
            self._inform(member, "is up again")
            self._let_rise(member)
        else:
            self._warn(member, "down", f"is down: {checks.why}")
            self._tell_soon()

    def _look_whether_all_are_down(self) -> None:
        used = [each for each in self._members.values() if each.upstream.weight]
        all_down = bool(used) and all(each.is_down for each in used)
        if all_down and not self._all_down:
            log.warning(f"all upstreams{self._of} are down: they are tried all the same")
        self._all_down = all_down

    # -- those that are up again ---------------------------------------------------------

    def _let_rise(self, member: Member) -> None:
        """Its share is little at first, where there is a slow start."""
        member.rises_from = monotonic() if self._pool.slow_start else None
        self._rise()

    def _rise(self) -> None:
        if self._step is not None:
            self._step.cancel()
        self._tell_soon()
        if any(each.risen(self._pool.slow_start) < 1 for each in self._members.values()):
            step = max(self._pool.slow_start / STEPS, SHORTEST_STEP)
            self._step = self._loop.later(step, self._rise)

    # -- what is told --------------------------------------------------------------------

    def _warn(self, member: Member, state: str, what: str) -> None:
        log.warning(
            f"upstream {member.address}{self._of} {what}", extra=self._fields(member, state)
        )

    def _inform(self, member: Member, what: str) -> None:
        log.info(f"upstream {member.address}{self._of} {what}", extra=self._fields(member, "up"))

    def _fields(self, member: Member, state: str) -> dict[str, Any]:
        """What a line of JSON has of a change."""
        why = member.checks.why if state == "down" and member.checks is not None else ""
        fields = {"event": "upstream", "service": self._name, "upstream": str(member.address)}
        return {"fields": {**fields, "state": state, "why": why}}

    def report(self) -> dict[str, Any]:
        """What `sockproxy status --json` shows. From any thread. Raises SockproxyError when the
        worker has ended."""
        stats, waiting = self._service.read_targets()
        members, pool = {_key(each): each for each in self._members.values()}, self._pool
        rows = []
        for each in stats:
            member = members.get(_key(each))
            if member is not None and not each.gone:
                rows.append(member.report(each, pool))
            elif each.gone:
                rows.append(report_of_gone(each))
        return {"upstreams": rows, "waiting": waiting}


def _key(of: Member | TargetStats) -> tuple[str, int]:
    """The zone of an address has more than one name; what a Unix socket has is no zone."""
    host = of.address.host
    return host if of.address.is_unix else host.partition("%")[0], of.address.port
