"""What packets of a proxy's connections carry, for who taps it: bpf/splice/packets.h."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sockproxy.bpf import ffi
from sockproxy.bpf.abi import Way, read_end
from sockproxy.bpf.loading import load
from sockproxy.bpf.ring import PORTION, Ring
from sockproxy.bpf.rules import write_rules
from sockproxy.net.rules import Rule

__all__ = ["Packet", "PacketTap"]

OBJECT, PROGRAMS = "packets.bpf.o", ("copy_received", "copy_sent")
RECORD = "struct packet"


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet of TCP, or a part of one.

    when: CLOCK_MONOTONIC, seconds. number: the sequence number of its first byte. flags: as the
    header of TCP has them. way: whether the proxy sent or received it.
    """

    when: float
    source: tuple[str, int]
    target: tuple[str, int]
    number: int
    acknowledged: int
    flags: int
    window: int
    way: Way
    data: bytes


def _packet(raw: Any) -> Packet:
    return Packet(
        raw.when / 1e9,
        read_end(raw, "source"),
        read_end(raw, "target"),
        int(raw.number),
        int(raw.acknowledged),
        int(raw.flags),
        int(raw.window),
        Way(raw.way),
        bytes(ffi.buffer(raw.data, raw.size)),
    )


class PacketTap:
    """Copies of what sockets of a cgroup receive and send, from now on until close(), or until this
    process ends.

    cgroup_fd: left to the caller. rules: which connections; none for all. size: bytes of memory for
    what was not taken yet. Raises KernelError and its kin.
    """

    def __init__(self, cgroup_fd: int, rules: Collection[Rule], size: int) -> None:
        self._opened = contextlib.ExitStack()
        try:
            self._ring = Ring.of_size(RECORD, size)
            self._opened.callback(self._ring.close)
            bpf = load(OBJECT, set(PROGRAMS), lambda loaded: loaded.reuse("packets", self._ring.fd))
            self._opened.callback(bpf.close)
            self._view = bpf.map("tapping").view("struct tapping", 1)
            write_rules(rules, self._view[0].rules)
            for each in PROGRAMS:
                link = bpf.program(each).attach_to_cgroup(cgroup_fd)
                self._opened.callback(link.close)
        except BaseException:
            self.close()
            raise

    def take(self, *, everything: bool = False) -> Iterator[Packet]:
        """What was copied since, a portion of it, or all until now."""
        for raw in self._ring.take(None if everything else PORTION):
            yield _packet(raw)

    @property
    def lost(self) -> int:
        """How many there was no memory for so far."""
        return int(self._view[0].lost)

    def close(self) -> None:
        """Twice is allowed."""
        self._opened.close()
