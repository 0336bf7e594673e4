"""The enrolled sockets of a bypass, by whichever program that lists them this kernel took."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sockproxy.bpf import Runner, ffi, open_pinned
from sockproxy.bpf.abi import Plain, Proxied, Role, Trait, read_fields, read_text
from sockproxy.bpf.bypass_roles import LOOK_UP, NAMESPACE, STORAGE
from sockproxy.errors import PermissionDenied, SockproxyError
from sockproxy.net.find_namespace import find_namespaces
from sockproxy.net.namespace import current_inode, entered

__all__ = ["Connection", "Listed", "Listing", "read_connection"]

RECORD: int = ffi.sizeof("struct connection")
AT: int = ffi.integer_const("LOOKED_UP_AT")
PACKET = bytes(AT + RECORD)


@dataclass(frozen=True, slots=True)
class Connection:
    """One enrolled socket. Addresses are (host, port), IPv4 as such.

    peer: the cookie of the other end on this host, or None. since: CLOCK_MONOTONIC,
    seconds. inode: of the open file, 0 when no process has it. in_map: its messages are
    looked at. unread: 0 when nothing that was bypassed to it is unread. granted, closed:
    whether it may ever, and may no longer, bypass. Bytes sent and received are TCP's.
    state: of TCP, by its number. proxied: whether a proxy lies in between, and peer is behind it.
    observed: bpf/abi/observed.h.
    congestion_control: its name. spared: name of the one that it began with, which would pace.
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
    state: int
    proxied: Proxied
    observed: int
    congestion_control: str
    spared: str


_Found = dict[int, Connection]  # by cookie


@dataclass(frozen=True, slots=True)
class Listed:
    """unseen: how many more are enrolled, in network namespaces that could not be looked into."""

    connections: list[Connection]
    unseen: int = 0


class Listing:
    """The sockets of a bypass, by the programs that are pinned in its directory.

    how: in which way: "storage", "namespaces", "lookups", or "nothing" where the kernel took none.
    cookies: tells those of the sockets in the sockmap. namespaces: tells how many enrolled ones
    each network namespace has, by its inode.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        cookies: Callable[[], Collection[int]],
        namespaces: Callable[[], Mapping[int, int]],
    ) -> None:
        self._name, self._folder = name, folder
        self._cookies, self._namespaces = cookies, namespaces
        self._fd, self._look_up_one = -1, None
        if (folder / LOOK_UP).exists():
            self._fd = open_pinned(str(folder / LOOK_UP))
            self._look_up_one = Runner(LOOK_UP, self._fd, PACKET)
        by_iterator = {STORAGE: "storage", NAMESPACE: "namespaces"}
        iterators = [way for name, way in by_iterator.items() if (folder / name).exists()]
        self.how = [*iterators, "lookups" if self._look_up_one else "nothing"][0]

    def close(self) -> None:
        """Close what was opened. Twice is allowed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._look_up_one = -1, None

    def all(self) -> Listed:
        """Every enrolled socket, once. Raises SockproxyError."""
        if self.how == "storage":
            return Listed(list(self._with_missed(self._read(STORAGE)).values()))
        counts, looked_into = self._namespaces(), set()
        found: _Found = {}
        if self.how == "namespaces":
            for inode, listed in self._each_namespace(counts):
                looked_into.add(inode)
                found |= listed
        found = self._with_missed(found)
        seen = Counter(each.netns for each in found.values())
        unseen = (most - seen[inode] for inode, most in counts.items() if inode not in looked_into)
        return Listed(list(found.values()), sum(max(0, each) for each in unseen))

    def _with_missed(self, found: _Found) -> _Found:
        """And those of the sockmap that an iterator passed over, while others came and went."""
        return found | self._look_up({each for each in self._cookies() if each not in found})

    @property
    def sees_sockmap(self) -> bool:
        """Whether each socket of the sockmap can be seen, wherever it is."""
        return self._look_up_one is not None or self.how == "storage"

    def in_map(self) -> dict[int, Connection]:
        """The sockets of the sockmap by their cookies, as far as this kernel lets them be seen."""
        cookies = set(self._cookies())
        if self._look_up_one is not None:
            return self._look_up(cookies)
        return {each.cookie: each for each in self.all().connections if each.cookie in cookies}

    def _each_namespace(self, counts: Mapping[int, int]) -> Iterator[tuple[int, _Found]]:
        """What each of those that can be found, and entered, lists: the iterator shows the one of
        who opens it."""
        with contextlib.ExitStack() as stack:
            found = find_namespaces(counts)
            for fd in found.values():
                stack.callback(os.close, fd)
            for inode, fd in found.items():
                try:
                    with contextlib.nullcontext() if inode == current_inode() else entered(fd):
                        listed = self._read(NAMESPACE)
                except PermissionDenied:  # it takes CAP_SYS_ADMIN
                    continue
                yield inode, listed

    def _read(self, iterator: str) -> _Found:
        try:
            data = (self._folder / iterator).read_bytes()
        except OSError as error:
            raise SockproxyError(f"list {self._name}", errno=error.errno) from None
        if len(data) % RECORD:
            raise SockproxyError(
                f"list {self._name}, which another version has attached",
                hint="detach it with that version, or attach it anew",
            )
        lines = ffi.from_buffer(f"struct connection[{len(data) // RECORD}]", data)
        found = (read_connection(lines[number]) for number in range(len(data) // RECORD))
        return {each.cookie: each for each in found}

    def _look_up(self, cookies: Collection[int]) -> _Found:
        run = self._look_up_one
        found: _Found = {}
        if run is None:
            return found
        into = memoryview(run.packet)[AT : AT + RECORD]
        for cookie in cookies:
            into[:] = cookie.to_bytes(8, sys.byteorder).ljust(RECORD, b"\0")
            if run():
                raw = ffi.from_buffer("struct connection *", bytes(into))
                found[cookie] = read_connection(raw)
        return found


# How a Connection has fields of struct connection; those not here are integers in both.
_READ: dict[str, Callable[[Any], Any]] = {
    "peer": lambda cookie: int(cookie) or None,
    "since": lambda nanoseconds: nanoseconds / 1e9,
    "role": Role,
    "plain": Plain,
    "traits": Trait,
    "proxied": Proxied,
    "congestion_control": read_text,
    "spared": read_text,
    "in_map": bool,
    "granted": bool,
    "closed": bool,
}


def read_connection(raw: Any) -> Connection:
    """The socket that a struct connection tells of. raw: cdata of it, or a pointer to it."""
    found: Connection = read_fields(raw, Connection, _READ)
    return found
