"""What bypasses tell of themselves: their totals, and each enrolled socket."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import psutil

from sockproxy.bpf.abi import Drains, Mode, Plain, Proxied, Trait, field_names
from sockproxy.bpf.bypass import Bypass
from sockproxy.bpf.listing import Connection, Listed
from sockproxy.bypass.gain import services_of
from sockproxy.bypass.groups import cgroup_names

__all__ = ["LEFT_PLAIN", "TRAFFIC", "WHY_LEFT", "bypass_connections", "bypass_status", "why_plain"]

LEFT_PLAIN = field_names("left_plain")
"""Entries of bypass_status(): how many sockets stayed plain, by why."""
TRAFFIC = field_names("traffic")
"""The same, and entries of each connection: what sockets have sent."""

WHY_PLAIN = {
    Plain.PEER_UNSEEN: "the other end is not on this host, not in the cgroup, or plain itself",
    Plain.POLICY: "denied by a rule",
    Plain.MULTIPATH: "MPTCP",
    Plain.AMBIGUOUS: "two connections had the same numbers",
    Plain.FULL: "no room for more connections",
    Plain.OWNED: "another sockmap or protocol has the socket",
    Plain.ZEROCOPY: "SO_ZEROCOPY",
    Plain.NO_GAIN: "connections to this service end before they gain by it",
    Plain.STREAM: "it streams",
    Plain.OBSERVED: "observing",
    Plain.PROGRAM: "its program is left alone",
    Plain.BLOCKS: "it may be read in blocking mode, as others of its program or port are",
    Plain.UNPROVEN: "its program is not yet known to do without FIONREAD, which is wrong here",
    Plain.PROXY: "the proxy in between lets nothing past: 'sockproxy connections' says why",
    Plain.UNFIT: "it is read or written in a way that needs TCP",
}
WHY_LEFT = {
    "policy": WHY_PLAIN[Plain.POLICY],
    "multipath": WHY_PLAIN[Plain.MULTIPATH],
    "ambiguous": WHY_PLAIN[Plain.AMBIGUOUS],
    "full": WHY_PLAIN[Plain.FULL],
    "owned": WHY_PLAIN[Plain.OWNED],
    "zerocopy": WHY_PLAIN[Plain.ZEROCOPY],
    "unproven": WHY_PLAIN[Plain.UNPROVEN],
    "blocking": WHY_PLAIN[Plain.BLOCKS],
    "no_gain": WHY_PLAIN[Plain.NO_GAIN],
    "programs": WHY_PLAIN[Plain.PROGRAM],
    "streams": WHY_PLAIN[Plain.STREAM],
}
"""What each of LEFT_PLAIN means, of one socket."""
WHY_READER = {
    Trait.SPLICES: "reads with splice",
    Trait.WAITS_FOR_ALL: "reads with MSG_WAITALL or SO_RCVLOWAT",
    Trait.LEFT_ALONE: "is of a program that is left alone",
    Trait.ASKS: "asks FIONREAD, which this kernel answers wrongly",
    Trait.BLOCKS: "reads in blocking mode",
    Trait.MAPS: "reads with TCP_ZEROCOPY_RECEIVE",
    Trait.EDGES: "waits by EPOLLET, and is not known to read until there is no more",
    Trait.UNSEEN: "waits in a way that is not known to be level-triggered",
    Trait.PEEKS: "reads with MSG_PEEK",
    Trait.THROWS: "reads with MSG_TRUNC",
}
# The traits by which the socket itself is plain, and not for others of its kind.
OF_ITSELF = {Plain.BLOCKS: Trait.BLOCKS, Plain.UNPROVEN: Trait.ASKS, Plain.UNFIT: ~Trait(0)}
TRIES = 5  # looks for a moment in which no socket closes
OPEN = (1, 8)  # TCP_ESTABLISHED and TCP_CLOSE_WAIT: it may still send
WHY_SENDER = {
    Trait.STAMPS: "wants time stamps of what it sends",
    Trait.UNSEEN_PEER: "sends to one that is never seen waiting in poll or epoll",
}


def bypass_status(name: str) -> dict[str, Any]:
    """What NAME is and did, as `status --json` shows it. age is in seconds.

    Bytes and messages are those of sockets that have closed and of those that live.
    """
    with Bypass(name) as bypass:
        settings = bypass.settings()
        totals, listed = _count_all(bypass)
        lists_by = bypass.lists_by
        place, proof = str(bypass.place), bypass.proof
        observed = bypass.observed()
        cgroups = cgroup_names(bypass.cgroups() or {settings.cgroup})  # an older sockproxy's: one
    live = listed.connections
    for counter in TRAFFIC:
        totals[counter] += sum(getattr(each, counter) for each in live)
    return {
        "name": name,
        "place": place,
        "cgroup": cgroups.get(settings.cgroup) or min(cgroups.values()),
        "cgroups": sorted(cgroups.values()),
        "mode": settings.mode.name.lower(),
        "age": time.monotonic() - settings.since,
        "budget": settings.budget,
        "rules": [str(rule) for rule in settings.rules],
        "same_cgroup": settings.same_cgroup,
        "left_alone": [each.asked for each in settings.programs],
        "blocking_readers": settings.blocking_readers,
        "any_reader": settings.any_reader,
        "keep_pacing": not settings.spare_pacing,
        "proof": proof.name.lower(),
        "read_until_empty": _count(settings.drainers.values()),
        "live": len(live),
        "lists_by": lists_by,
        "unseen": listed.unseen,
        "in_map": sum(each.in_map for each in live),
        **totals,
        "services": services_of(observed, live if settings.mode is Mode.OBSERVE else ()),
    }


def _count_all(bypass: Bypass) -> tuple[dict[str, int], Listed]:
    """What was counted, and the sockets that live, whose counters are not in it yet.

    A socket that closes while this looks would be in neither. So it looks again, and where there
    is no moment in which none closes, what those sent is missing: nothing is ever counted twice.
    """
    for _ in range(TRIES):
        before = bypass.totals()
        listed = bypass.listed()
        after = bypass.totals()
        if before["closed"] == after["closed"]:
            return after, listed
    return before, listed


def _count(drainers: Iterable[Drains]) -> dict[str, int]:
    """How many executables are known to read until there is no more, by what that is known."""
    counted = Counter(each.name.lower() for each in drainers)
    return {name: counted[name] for name in sorted(counted)}


def bypass_connections(name: str) -> dict[str, Any]:
    """Every enrolled socket of NAME, as `connections --json` shows it."""
    with Bypass(name) as bypass:
        mode = bypass.settings().mode
        listed = bypass.listed()
    found = listed.connections
    owners = _owners({each.inode for each in found})
    groups = cgroup_names({each.cgroup for each in found})
    by_cookie = {each.cookie: each for each in found}
    now = time.monotonic()
    lines = []
    for each in found:
        other = by_cookie.get(each.peer or 0)
        state, why = judge(each, other, mode)
        lines.append(
            {
                "cookie": each.cookie,
                "peer": each.peer,
                "local": each.local,
                "remote": each.remote,
                "role": each.role.name.lower(),
                "state": state,
                "why": why,
                "age": now - each.since,
                "bytes_sent": each.bypassed_bytes + each.bytes_sent,
                "bytes_received": each.bytes_received + (other.bypassed_bytes if other else 0),
                **{counter: getattr(each, counter) for counter in TRAFFIC},
                "unread": each.unread,
                "congestion_control": each.congestion_control,
                "spared": each.spared or None,
                "cgroup": groups[each.cgroup],
                "netns": each.netns,
                "processes": owners.get(each.inode, []),
            }
        )
    return {"name": name, "connections": lines, "unseen": listed.unseen}


def judge(end: Connection, other: Connection | None, mode: Mode) -> tuple[str, str]:
    """The state of what this end sends, and why it is not bypassed."""
    if mode is Mode.OBSERVE and end.peer is not None and not end.in_map:
        return "paired", "observing"
    if not end.in_map:
        unfit = end.plain is Plain.UNFIT
        why = _why_closed(end, other) if unfit else why_plain(end.plain, end.traits)
        return "plain", why or "taken out"
    if mode is Mode.DRAIN:
        return "draining", "what was bypassed to it is unread" if end.unread else "detaching"
    if end.peer is None:
        return "passing", WHY_PLAIN[Plain.PEER_UNSEEN]
    if end.closed and end.state not in OPEN:
        return "passing", "its connection ends"
    if end.closed:
        return "passing", _why_closed(end, other)
    if end.proxied is Proxied.THROUGH:
        return "passing", "the proxy in between has not let it past so far"
    if not end.granted:
        return "passing", "the other end has not been seen reading and answering yet"
    return ("short-circuit" if end.proxied is Proxied.PAST else "bypassing"), ""


def why_plain(plain: Plain, traits: Trait) -> str:
    """Why a socket is plain, as far as it tells by itself; "" where it is not."""
    if plain is Plain.NOT:
        return ""
    for trait, why in (WHY_READER | WHY_SENDER).items():
        if trait in traits & OF_ITSELF.get(plain, Trait(0)):
            return f"this end {why}"
    return WHY_PLAIN[plain]


def _why_closed(end: Connection, other: Connection | None) -> str:
    if end.plain is Plain.POLICY:
        return WHY_PLAIN[Plain.POLICY]
    for trait, why in WHY_READER.items():
        if other is not None and trait in other.traits:
            return f"the other end {why}"
        if trait in end.traits:
            return f"this end {why}"
    for trait, why in WHY_SENDER.items():
        if trait in end.traits:
            return f"this end {why}"
    told = (Plain.UNFIT, Plain.PROXY)
    return WHY_PLAIN[end.plain if end.plain in told else Plain.STREAM]


def _owners(inodes: Iterable[int]) -> dict[int, list[int]]:
    """Which processes have each socket open, by the inode of its file."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes if inode}
    found: dict[int, list[int]] = {}
    if not wanted:
        return found
    for pid in psutil.pids():
        try:
            with os.scandir(f"/proc/{pid}/fd") as entries:
                links = {os.readlink(entry.path) for entry in entries}
        except OSError:
            continue  # it has ended, or is not ours to look into
        for link in links & wanted.keys():
            found.setdefault(wanted[link], []).append(pid)
    return found
