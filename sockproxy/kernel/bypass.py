"""A bypass in the kernel: bpf/bypass.bpf.c attached to a cgroup, its state pinned."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sockproxy.errors import SockproxyError, UsageError
from sockproxy.kernel import pins
from sockproxy.kernel.layout import Plain, Role, check_sizes
from sockproxy.kernel.objects import read_object
from sockproxy.libbpf import BpfObject, Link, Map, ffi, open_pinned, pin
from sockproxy.net.rules import Rule

__all__ = ["MOST_RULES", "Bypass", "Connection", "Settings", "create"]

MOST_RULES: int = dict(ffi.typeof("struct settings").fields)["rule"].type.length
CONNECTIONS = 65536  # pairs of sockets at once that can be known
MAPS = ("settings", "in_force", "totals")  # the others live as long as the programs do


@dataclass(frozen=True, slots=True)
class Settings:
    """since: CLOCK_MONOTONIC, seconds. cgroup: its inode number."""

    since: float
    cgroup: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Connection:
    """One enrolled socket. Addresses are (host, port), IPv4 as such.

    peer: the cookie of the other end on this host, or None. since: CLOCK_MONOTONIC,
    seconds. inode: of the open file, 0 when no process has it.
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
    bytes_sent: int
    bytes_received: int


class Bypass:
    """An attached bypass, opened by its NAME. Reading changes nothing.

    Raises UsageError when there is none of that NAME.
    """

    def __init__(self, name: str) -> None:
        check_sizes()
        place = pins.root()
        self.name = name
        self._folder = (place or Path("/")) / pins.check_name(name)
        if place is None or not (self._folder / "link").exists():
            raise UsageError(f"no bypass named {name}", hint="'sockproxy status' lists them")
        self._maps = {each: Map(each, open_pinned(str(self._folder / each))) for each in MAPS}

    def close(self) -> None:
        """Close what was opened; the bypass stays attached. Twice is allowed."""
        while self._maps:
            os.close(self._maps.popitem()[1].fd)

    def __enter__(self) -> Bypass:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def settings(self) -> Settings:
        """The settings in force."""
        raw = self._read("settings", "struct settings", self._in_force())
        rules = tuple(_read_rule(raw.rule[number]) for number in range(raw.rules))
        return Settings(since=raw.since / 1e9, cgroup=int(raw.cgroup), rules=rules)

    def change(self, rules: Sequence[Rule]) -> None:
        """Put other rules in force for connections that begin from now on."""
        now = self.settings()
        _write_settings(self._maps, Settings(now.since, now.cgroup, tuple(rules)), self._in_force())

    def totals(self) -> dict[str, int]:
        """What was counted since it was attached, by the names of struct bypass_totals."""
        raw = self._read("totals", "struct bypass_totals")
        names = ("enrolled", "paired", "policy", "multipath", "ambiguous", "closed", "paired_bytes")
        return {name: int(getattr(raw, name)) for name in names}

    def connections(self) -> list[Connection]:
        """Every enrolled socket, of any network namespace."""
        try:
            data = (self._folder / "connections").read_bytes()
        except OSError as error:
            raise SockproxyError(f"list {self.name}", errno=error.errno) from None
        size = ffi.sizeof("struct connection")
        lines = ffi.from_buffer(f"struct connection[{len(data) // size}]", data)
        return [_read_connection(lines[number]) for number in range(len(data) // size)]

    def _in_force(self) -> int:
        return int(self._read("in_force", "uint32_t")[0])

    def _read(self, name: str, ctype: str, key: int = 0) -> Any:
        value = ffi.new(f"{ctype} *")
        self._maps[name].lookup(ffi.new("uint32_t *", key), value)
        return value


def create(name: str, place: Path, cgroup_fd: int, settings: Settings) -> None:
    """Load, attach and pin, inside `pins.locked()`; undone in reverse when a step fails."""
    check_sizes()
    bpf = BpfObject("bypass.bpf.o", read_object("bypass.bpf.o"))
    aside = place / f"{pins.ASIDE}{name}"
    try:
        bpf.set_max_entries("peers", 2 * CONNECTIONS)
        bpf.load()
        maps = {each: bpf.map(each) for each in MAPS}
        _write_settings(maps, settings, in_force=1)
        aside.mkdir(mode=0o700)
        for each, opened in maps.items():
            pin(opened.fd, str(aside / each))
        listing = bpf.program("list_connections").attach_iterator(bpf.map("ends"))
        _pin_link(listing, aside / "connections")
        _pin_link(bpf.program("bypass_sock_ops").attach_to_cgroup(cgroup_fd), aside / "link")
        aside.rename(place / name)
    except BaseException:
        pins.remove(aside)
        raise
    finally:
        bpf.close()


def _pin_link(link: Link, path: Path) -> None:
    """Leave the attachment to its pin; there is none if that fails."""
    try:
        link.pin(str(path))
    finally:
        link.close()


def _write_settings(maps: dict[str, Map], settings: Settings, in_force: int) -> None:
    """Write those that are not in force, then turn to them."""
    raw = ffi.new("struct settings *")
    raw.since, raw.cgroup = int(settings.since * 1e9), settings.cgroup
    raw.rules = len(settings.rules)
    raw.allows = sum(not rule.deny for rule in settings.rules)
    for number, rule in enumerate(settings.rules):
        into = raw.rule[number]
        into.deny = rule.deny
        into.first_port, into.last_port = rule.ports
        ffi.memmove(into.prefix, rule.network.network_address.packed, 16)
        ffi.memmove(into.mask, rule.network.netmask.packed, 16)
    other = ffi.new("uint32_t *", 1 - in_force)
    maps["settings"].update(other, raw)
    maps["in_force"].update(ffi.new("uint32_t *", 0), other)


def _read_rule(raw: Any) -> Rule:
    prefix = ipaddress.IPv6Address(bytes(ffi.buffer(raw.prefix)))
    bits = int.from_bytes(bytes(ffi.buffer(raw.mask)), "big").bit_count()
    network = ipaddress.IPv6Network((prefix, bits))
    return Rule(bool(raw.deny), network, (int(raw.first_port), int(raw.last_port)))


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
        bytes_sent=int(raw.bytes_sent),
        bytes_received=int(raw.bytes_received),
    )


def _host(words: Any) -> str:
    address = ipaddress.IPv6Address(bytes(ffi.buffer(words)))
    return str(address.ipv4_mapped or address)
