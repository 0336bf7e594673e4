"""What sockets of a bypass send, copied for who has asked for it: bpf/bypass/tap.h."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sockproxy.bpf import Map, ffi, pinned
from sockproxy.bpf.abi import read_end
from sockproxy.bpf.bypass_settings import settings_of
from sockproxy.bpf.slot import LEASE, Slot
from sockproxy.net.rules import Rule
from sockproxy.rundir.folder import Folder

__all__ = ["Piece", "Tap"]

RULES: int = ffi.integer_const("TAP_RULES")


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that one socket sent in one message, or a part of these.

    when: CLOCK_MONOTONIC, seconds. at: bytes that it had sent before. by_tcp: not past TCP.
    """

    when: float
    at: int
    local: tuple[str, int]
    remote: tuple[str, int]
    by_tcp: bool
    data: bytes


def _piece(raw: Any) -> Piece:
    return Piece(
        raw.when / 1e9,
        int(raw.at),
        read_end(raw, "local"),
        read_end(raw, "remote"),
        bool(raw.by_tcp),
        bytes(ffi.buffer(raw.data, raw.size)),
    )


class Tap(Slot):
    """Copies of what is sent from now on until close(). rules: which connections; none for all."""

    AMONG = (ffi.integer_const("TAP_SLOT"),)
    RECORD = "struct tapped"
    DOING = "tap"
    TAKEN = "somebody does already", f"end that, or wait {LEASE:.0f} s where it was killed"

    def __init__(self, name: str, folder: Folder, rules: Collection[Rule], size: int) -> None:
        self._rules = rules
        super().__init__(name, folder, size)

    def _prepare(self, folder: Folder) -> None:
        with pinned(str(folder.at() / "settings")) as fd:
            Map("settings", fd).update(ffi.new("uint32_t *", RULES), settings_of(self._rules))

    def take(self, *, everything: bool = False) -> Iterator[Piece]:
        """What was sent since, in portions, or all until now, as records() has it."""
        for raw in self.records(everything=everything):
            yield _piece(raw)
