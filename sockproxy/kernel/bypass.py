"""A bypass in the kernel, opened by its NAME: read, change, drain, remove."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sockproxy.errors import SockproxyError, UsageError
from sockproxy.kernel import pins
from sockproxy.kernel.barrier import wait_for_programs
from sockproxy.kernel.layout import Mode, Plain, Role, Trait, check_sizes
from sockproxy.libbpf import Map, ffi, open_pinned
from sockproxy.net.rules import Rule

__all__ = [
    "MAPS",
    "MOST_RULES",
    "Bypass",
    "Connection",
    "Settings",
    "note_listener",
    "write_settings",
]

MOST_RULES: int = dict(ffi.typeof("struct settings").fields)["rule"].type.length
TOTALS = tuple(name for name, _ in ffi.typeof("struct bypass_totals").fields)
MAPS = (
    "settings",
    "knobs",
    "totals",
    "sockets",
    "left_alone",
    "plain_ports",
)  # the others live as long as the programs


@dataclass(frozen=True, slots=True)
class Settings:
    """since: CLOCK_MONOTONIC, seconds. cgroup: its inode number.

    budget: bytes that may wait in one bypass queue, with the kernel's overhead.
    programs: names of those whose sockets stay plain.
    """

    since: float
    cgroup: int
    rules: tuple[Rule, ...]
    mode: Mode
    budget: int
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """One enrolled socket. Addresses are (host, port), IPv4 as such.

    peer: the cookie of the other end on this host, or None. since: CLOCK_MONOTONIC,
    seconds. inode: of the open file, 0 when no process has it. in_map: its messages are
    looked at. unread: 0 when nothing that was bypassed to it is unread. granted, closed:
    whether it may ever, and may no longer, bypass. Bytes sent and received are TCP's.
    """

    cookie: int
    peer: int | None
    since: float
    cgroup: int
    inode: int
    netns: int
    local: tuple[str, int]
    remote: tuple[str, int]
    role: Role
    plain: Plain
    traits: Trait
    in_map: bool
    granted: bool
    closed: bool
    unread: int
    bytes_sent: int
    bytes_received: int
    bypassed_bytes: int
    bypassed_messages: int
    passed_bytes: int
    passed_messages: int


class Bypass:
    """An attached bypass. Reading changes nothing.

    Raises UsageError when there is none of that NAME.
    """

    def __init__(self, name: str) -> None:
        check_sizes()
        self.name = name
        self._maps: dict[str, Map] = {}
        folder = pins.open_pins(name)
        if folder is None:
            raise UsageError(f"no bypass named {name}", hint="'sockproxy status' lists them")
        self._folder = folder
        try:
            for each in MAPS:
                self._maps[each] = Map(each, open_pinned(str(folder.at(each))))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close what was opened; the bypass stays attached. Twice is allowed."""
        while self._maps:
            os.close(self._maps.popitem()[1].fd)
        self._folder.close()

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
            programs=tuple(sorted(_programs(self._maps["left_alone"]))),
        )

    def change(self, settings: Settings) -> None:
        """Put other settings in force; connections that are denied now are passed."""
        knobs = self._read("knobs", "struct knobs")
        write_settings(self._maps, settings, int(knobs.which), int(knobs.version) + 1)

    def stop(self) -> None:
        """Enrol and bypass nothing from now on; when it returns no program does any more."""
        settings = self.settings()
        if settings.mode != Mode.DRAIN:
            self.change(replace(settings, mode=Mode.DRAIN))
        wait_for_programs()

    def take_out(self) -> list[Connection]:
        """After stop(): take out of the sockmap each socket for which nothing is left.

        Returns those that have to stay, with what is unread. `is_drained()` tells whether
        all are out: the list may miss a socket while others close.
        """
        sockets = self._maps["sockets"]
        listed = {each.cookie: each for each in self.connections()}
        stay = []
        for cookie in self._in_map():
            each = listed.get(cookie)
            if each is not None and each.unread:
                stay.append(each)
            elif each is not None:
                sockets.delete(ffi.new("uint64_t *", cookie))
        return stay

    def is_drained(self) -> bool:
        """Whether no socket is in the sockmap."""
        return not self._in_map()

    def _in_map(self) -> list[int]:
        return [int(key[0]) for key in self._maps["sockets"].keys("uint64_t")]

    def totals(self) -> dict[str, int]:
        """What was counted since it was attached, by the names of struct bypass_totals."""
        raw = self._read("totals", "struct bypass_totals")
        return {name: int(getattr(raw, name)) for name in TOTALS}

    def connections(self) -> list[Connection]:
        """Every enrolled socket, of any network namespace."""
        try:
            data = self._folder.at("connections").read_bytes()
        except OSError as error:
            raise SockproxyError(f"list {self.name}", errno=error.errno) from None
        size = ffi.sizeof("struct connection")
        lines = ffi.from_buffer(f"struct connection[{len(data) // size}]", data)
        return [_read_connection(lines[number]) for number in range(len(data) // size)]

    def _read(self, name: str, ctype: str, key: int = 0) -> Any:
        value = ffi.new(f"{ctype} *")
        self._maps[name].lookup(ffi.new("uint32_t *", key), value)
        return value


def write_settings(maps: dict[str, Map], settings: Settings, which: int, version: int) -> None:
    """Write the settings that are not in force, `which` are, then turn to them."""
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
    for name in _programs(maps["left_alone"]) - set(settings.programs):
        maps["left_alone"].delete(_process_name(name))
    for name in settings.programs:
        maps["left_alone"].update(_process_name(name), ffi.new("uint8_t *", 1))
    knobs = ffi.new("struct knobs *")
    knobs.which, knobs.mode, knobs.budget = 1 - which, settings.mode, settings.budget
    knobs.version = version
    maps["knobs"].update(ffi.new("uint32_t *", 0), knobs)


def note_listener(maps: dict[str, Map], netns: int, port: int) -> None:
    """A program that is to be left alone accepts connections there."""
    key = ffi.new("struct local_port *", (netns, port))
    maps["plain_ports"].update(key, ffi.new("uint8_t *", 1))


def _process_name(name: str) -> Any:
    return ffi.new("struct process_name *", (name.encode()[:15],))


def _programs(left_alone: Map) -> set[str]:
    keys = left_alone.keys("struct process_name")
    return {ffi.string(key.comm).decode(errors="replace") for key in keys}


def _read_rule(raw: Any) -> Rule:
    prefix = ipaddress.IPv6Address(bytes(ffi.buffer(raw.prefix)))
    bits = int.from_bytes(bytes(ffi.buffer(raw.mask)), "big").bit_count()
    network = ipaddress.IPv6Network((prefix, bits))
    ports = (int(raw.first_port), int(raw.last_port))
    return Rule(bool(raw.deny), network, ports, bool(raw.only_ipv6))


def _read_connection(raw: Any) -> Connection:
    return Connection(
        cookie=int(raw.cookie),
        peer=int(raw.peer) or None,
        since=raw.since / 1e9,
        cgroup=int(raw.cgroup),
        inode=int(raw.inode),
        netns=int(raw.netns),
        local=(_host(raw.local), int(raw.local_port)),
        remote=(_host(raw.remote), int(raw.remote_port)),
        role=Role(raw.role),
        plain=Plain(raw.plain),
        traits=Trait(raw.traits),
        in_map=bool(raw.in_map),
        granted=bool(raw.granted),
        closed=bool(raw.closed),
        unread=int(raw.unread),
        bytes_sent=int(raw.bytes_sent),
        bytes_received=int(raw.bytes_received),
        bypassed_bytes=int(raw.bypassed_bytes),
        bypassed_messages=int(raw.bypassed_messages),
        passed_bytes=int(raw.passed_bytes),
        passed_messages=int(raw.passed_messages),
    )


def _host(words: Any) -> str:
    address = ipaddress.IPv6Address(bytes(ffi.buffer(words)))
    return str(address.ipv4_mapped or address)
