"""The upstreams of a service, as the native worker has them: ``native/upstreams.h``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sockproxy.native import ffi
from sockproxy.net.address import Address
from sockproxy.worker.address import read_address, write_address

__all__ = ["Target", "TargetStats", "native_targets", "read_targets"]

MARGIN = 16  # that may come between two readings


@dataclass(frozen=True, slots=True)
class Target:
    """One that clients may go to.

    share: of the clients, beside those of the others, 65536 at most; 0: it has no new ones.
    most: clients at once, of all workers; 0: as many as come.
    down: it has none, as long as another one is not.
    """

    address: Address
    share: int = 1
    most: int = 0
    down: bool = False


@dataclass(frozen=True, slots=True)
class TargetStats:
    """clients: that are there now, or are being connected. chosen: so many times it was a client's
    turn. gone: it is one no more, but for its clients."""

    address: Address
    clients: int
    chosen: int
    gone: bool


def native_targets(worker: Any, targets: Sequence[Target]) -> Any:
    """An array of struct upstream. Raises OSError."""
    array = ffi.new("struct upstream[]", len(targets))
    for native, target in zip(array, targets, strict=True):
        write_address(worker, ffi.addressof(native, "address"), target.address)
        native.share, native.most, native.down = target.share, target.most, target.down
    return array


def read_targets(lib: Any, worker: Any, service: int) -> tuple[list[TargetStats], int]:
    """Those of the service of that number, and how many clients wait for a place. From any
    thread."""
    room, waiting = 0, ffi.new("uint32_t *")
    while True:
        room += MARGIN
        array = ffi.new("struct upstream_stats[]", room)
        count = lib.worker_read_targets(worker, service, array, room, waiting)
        if count <= room:
            break
        room = count
    stats = [
        TargetStats(read_address(worker, each.address), each.clients, each.chosen, bool(each.gone))
        for each in array[0:count]
    ]
    return stats, waiting[0]
