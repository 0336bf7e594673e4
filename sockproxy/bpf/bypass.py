"""A bypass in the kernel, opened by its NAME: read, change, drain, remove."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sockproxy.bpf import Map, ffi, open_pinned, pins
from sockproxy.bpf.abi import Drains, Mode, Plain, Proof, read_counters
from sockproxy.bpf.barrier import wait_for_programs
from sockproxy.bpf.bypass_roles import ASKING, NEEDED, RESULTS, pin_name, proof_of
from sockproxy.bpf.listing import Connection, Listed, Listing
from sockproxy.bpf.loading import Role
from sockproxy.bpf.plain_programs import (
    Program,
    note_acceptors,
    read_programs,
    write_programs,
)
from sockproxy.bpf.programs import Executable
from sockproxy.bpf.wakers import learn_wakers
from sockproxy.errors import UsageError
from sockproxy.net.rules import Rule

__all__ = [
    "MAPS",
    "MOST_RULES",
    "Bypass",
    "Settings",
    "write_settings",
]

MOST_RULES: int = dict(ffi.typeof("struct settings").fields)["rule"].type.length
MAPS = (
    "settings",
    "knobs",
    "totals",
    "sockets",
    "left_alone",
    "acceptors",
    "namespaces",
    "wakers",
    "drains",
)  # the others live as long as the programs


@dataclass(frozen=True, slots=True)
class Settings:
    """since: CLOCK_MONOTONIC, seconds. cgroup: its inode number.

    budget: bytes that may wait in one bypass queue, with the kernel's overhead.
    drainers: executables that read until there is no more, and by what that is known.
    same_cgroup: only pairs whose two ends belong to one. credit: bytes that may be granted to all
    senders together; 0: as many as tcp_mem leaves (bpf/bypass/grant.h).
    programs: those whose sockets stay plain. blocking_readers: what is read in blocking mode
    does not. fionread_is_wrong: for what is in a sockmap. any_reader: readers are enrolled
    before they are known to do without it. evidence: seconds that a program is held to what it
    was seen to do.
    """

    since: float
    cgroup: int
    rules: tuple[Rule, ...]
    mode: Mode
    budget: int
    programs: tuple[Program, ...] = ()
    drainers: Mapping[Executable, Drains] = field(default_factory=dict)
    same_cgroup: bool = False
    credit: int = 0
    blocking_readers: bool = False
    fionread_is_wrong: bool = False
    any_reader: bool = False
    evidence: int = 600


class Bypass:
    """An attached bypass. Reading changes nothing.

    Raises UsageError when there is none of that NAME.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        folder = pins.open_pins(name)
        if folder is None:
            raise UsageError(f"no bypass named {name}", hint="'sockproxy status' lists them")
        self._folder = folder
        self._maps: dict[str, Map] = {}
        self._opened = contextlib.ExitStack()
        self._opened.callback(folder.close)
        try:
            for each in MAPS:
                fd = open_pinned(str(folder.at(each)))
                self._opened.callback(os.close, fd)
                self._maps[each] = Map(each, fd)
            self._listing = Listing(name, folder.at(), self._cookies, self._namespaces)
            self._opened.callback(self._listing.close)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close what was opened; the bypass stays attached. Twice is allowed."""
        self._opened.close()

    @property
    def place(self) -> Path:
        """The directory of its pins, for people to read."""
        return self._folder.path

    def __enter__(self) -> Bypass:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def settings(self) -> Settings:
        """The settings in force."""
        knobs = self._read("knobs", "struct knobs")
        raw = self._read("settings", "struct settings", int(knobs.which))
        rules = tuple(_read_rule(raw.rule[number]) for number in range(raw.rules))
        return Settings(
            since=raw.since / 1e9,
            cgroup=int(raw.cgroup),
            rules=rules,
            mode=Mode(knobs.mode),
            budget=int(knobs.budget),
            programs=read_programs(self._maps["left_alone"]),
            drainers=_drainers(self._maps["drains"]),
            same_cgroup=bool(knobs.same_cgroup),
            credit=int(knobs.credit),
            blocking_readers=bool(knobs.blocking_readers),
            fionread_is_wrong=self._has(RESULTS) or self._has(ASKING) or knobs.proof != Proof.NONE,
            any_reader=self._has(RESULTS) and knobs.proof == Proof.NONE,
            evidence=int(knobs.evidence),
        )

    @property
    def proof(self) -> Proof:
        """What readers are known by before they are enrolled."""
        return Proof(self._read("knobs", "struct knobs").proof)

    @property
    def is_in_vain(self) -> bool:
        """Whether readers have to be known to do without FIONREAD, and nothing can show it."""
        knobs = self._read("knobs", "struct knobs")
        asks_for_proof = knobs.mode == Mode.BYPASS and knobs.proof != Proof.NONE
        return asks_for_proof and not self._has(RESULTS)

    def change(
        self, settings: Settings, acceptors: Mapping[tuple[int, int], Plain] | None = None
    ) -> None:
        """Put other settings in force; connections that are denied now are passed.

        acceptors: as note_acceptors() takes them; None leaves what is known.
        """
        knobs = self._read("knobs", "struct knobs")
        if acceptors is not None:
            note_acceptors(self._maps["acceptors"], acceptors)
        proof = proof_of(ASKING.programs if self._has(ASKING) else ())
        write_settings(self._maps, settings, int(knobs.which), int(knobs.version) + 1, proof)

    def stop(self) -> None:
        """Enrol and bypass nothing from now on; when it returns no program does any more."""
        settings = self.settings()
        if settings.mode != Mode.DRAIN:
            self.change(replace(settings, mode=Mode.DRAIN))
        wait_for_programs()

    def take_out(self) -> list[Connection]:
        """After stop(): take out of the sockmap each socket for which nothing is left.

        Returns those that have to stay, with what is unread. `in_map()` tells how many are
        not out: the list may miss a socket while others close, or see none on this kernel.
        """
        sockets = self._maps["sockets"]
        stay = []
        for cookie, each in self._listing.in_map().items():
            if each.unread:
                stay.append(each)
            else:
                sockets.delete(ffi.new("uint64_t *", cookie))
        return stay

    def in_map(self) -> int:
        """How many sockets are in the sockmap."""
        return len(self._cookies())

    def _cookies(self) -> list[int]:
        return [int(key[0]) for key in self._maps["sockets"].keys("uint64_t")]

    def totals(self) -> dict[str, int]:
        """What was counted since it was attached, by the names of struct bypass_totals."""
        return read_counters(self._read("totals", "struct bypass_totals")[0])

    @property
    def lists_by(self) -> str:
        """In which way sockets are listed: see Listing."""
        return self._listing.how

    @property
    def sees_sockmap(self) -> bool:
        """Whether take_out() can tell of each socket whether something is unread."""
        return self._listing.sees_sockmap

    def listed(self) -> Listed:
        """Every enrolled socket, of any network namespace."""
        return self._listing.all()

    def _has(self, role: Role) -> bool:
        return any(self._folder.at(pin_name(each)).exists() for each in role.programs)

    def why_not(self, mode: Mode) -> str:
        """What this attachment lacks of what `mode` needs, as a phrase; "" for nothing."""
        for role in NEEDED.get(mode, ()):
            if not self._has(role):
                return role.without
        return ""

    def _namespaces(self) -> dict[int, int]:
        """How many enrolled sockets each network namespace has, by its inode."""
        found, value = {}, ffi.new("uint64_t *")
        for key in self._maps["namespaces"].keys("uint32_t"):
            if self._maps["namespaces"].lookup(key, value) and value[0]:
                found[int(key[0])] = int(value[0])
        return found

    def _read(self, name: str, ctype: str, key: int = 0) -> Any:
        value = ffi.new(f"{ctype} *")
        self._maps[name].lookup(ffi.new("uint32_t *", key), value)
        return value


def write_settings(
    maps: dict[str, Map], settings: Settings, which: int, version: int, proof: Proof
) -> None:
    """Write the settings that are not in force, `which` are, then turn to them.

    proof: what readers are known by, where they have to be.
    """
    raw = ffi.new("struct settings *")
    raw.since, raw.cgroup = int(settings.since * 1e9), settings.cgroup
    raw.rules = len(settings.rules)
    raw.allows = sum(not rule.deny for rule in settings.rules)
    for number, rule in enumerate(settings.rules):
        into = raw.rule[number]
        into.deny = rule.deny
        into.first_port, into.last_port = rule.ports
        into.only_ipv6 = rule.only_ipv6
        ffi.memmove(into.prefix, rule.network.network_address.packed, 16)
        ffi.memmove(into.mask, rule.network.netmask.packed, 16)
    maps["settings"].update(ffi.new("uint32_t *", 1 - which), raw)
    if settings.mode is Mode.BYPASS:
        _write_wakers(maps["wakers"])
    _write_drainers(maps["drains"], settings.drainers)
    write_programs(maps["left_alone"], settings.programs)
    knobs = ffi.new("struct knobs *")
    knobs.which, knobs.mode, knobs.budget = 1 - which, settings.mode, settings.budget
    knobs.version, knobs.same_cgroup = version, settings.same_cgroup
    knobs.credit = settings.credit
    knobs.evidence = settings.evidence
    knobs.blocking_readers = settings.blocking_readers
    needed = settings.fionread_is_wrong and not settings.any_reader
    knobs.proof = proof if needed else Proof.NONE
    maps["knobs"].update(ffi.new("uint32_t *", 0), knobs)


def _write_drainers(drains: Map, drainers: Mapping[Executable, Drains]) -> None:
    """What the programs have found out stays; what an option said and says no more does not."""
    for each, kind in _drainers(drains).items():
        if kind is Drains.BY_OPTION and each not in drainers:
            drains.delete(ffi.new("struct program *", tuple(each)))
    for each, kind in drainers.items():
        drains.update(ffi.new("struct program *", tuple(each)), ffi.new("uint32_t *", kind))


def _drainers(drains: Map) -> dict[Executable, Drains]:
    found, value = {}, ffi.new("uint32_t *")
    for key in drains.keys("struct program"):
        if drains.lookup(key, value) and value[0] != Drains.NOT:
            found[Executable(int(key.inode), int(key.device))] = Drains(value[0])
    return found


def _write_wakers(wakers: Map) -> None:
    known = learn_wakers()
    raw = ffi.new("struct wakers *", (known.epoll, known.poll, known.sleep))
    wakers.update(ffi.new("uint32_t *", 0), raw)


def _read_rule(raw: Any) -> Rule:
    prefix = ipaddress.IPv6Address(bytes(ffi.buffer(raw.prefix)))
    bits = int.from_bytes(bytes(ffi.buffer(raw.mask)), "big").bit_count()
    network = ipaddress.IPv6Network((prefix, bits))
    ports = (int(raw.first_port), int(raw.last_port))
    return Rule(bool(raw.deny), network, ports, bool(raw.only_ipv6))
