"""What lies in the maps, as Python sees it: the values and sizes of bpf/shared.h."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from sockproxy.bpf import ffi

__all__ = ["SIZES", "Action", "Drains", "Held", "Mode", "Plain", "Proof", "Role", "Trait",
           "check_sizes"]  # fmt: skip


class Action(IntEnum):
    """enum direction_action."""

    HOLD = 0
    REDIRECT = 1
    PASS = 2
    DROP = 3


class Held(IntEnum):
    """enum hold_reason."""

    NOT = 0
    BUDGET = 1
    ON_REQUEST = 2
    TARGET_GONE = 3
    PART_READ = 4
    TOO_LONG = 5
    URGENT = 6


class Plain(IntEnum):
    """enum plain_reason."""

    NOT = 0
    PEER_UNSEEN = 1
    POLICY = 2
    MULTIPATH = 3
    AMBIGUOUS = 4
    FULL = 5
    OWNED = 6
    ZEROCOPY = 7
    NO_GAIN = 8
    STREAM = 9
    OBSERVED = 10
    UNFIT = 11
    PROGRAM = 12
    BLOCKS = 13
    UNPROVEN = 14


class Role(IntEnum):
    """enum end_role."""

    OPENER = 1
    ACCEPTER = 2


class Trait(IntFlag):
    """enum end_trait."""

    READS = 1
    SPLICES = 2
    WAITS_FOR_ALL = 4
    LEFT_ALONE = 8
    MAPS = 16
    STAMPS = 64
    EDGES = 128
    UNSEEN = 256
    PEEKS = 512
    THROWS = 1024
    DRAINS = 2048
    UNSEEN_PEER = 4096
    BLOCKS = 8192
    ASKS = 16384


class Proof(IntEnum):
    """enum proof."""

    NONE = 0
    EAGAIN = 1
    SHORT = 2


class Drains(IntEnum):
    """enum drains."""

    NOT = 0
    BY_OPTION = 1
    GO = 2
    ENVOY = 3


class Mode(IntEnum):
    """enum bypass_mode."""

    OBSERVE = 0
    BYPASS = 1
    DRAIN = 2


# The sizes in bytes that bpf/layout.h asserts as well.
SIZES = {
    "direction": 112,
    "hold_event": 8,
    "inspection": 48,
    "enrolment": 32,
    "handshake": 8,
    "opener": 40,
    "enrolled": 144,
    "lane": 88,
    "pair": 216,
    "peer": 16,
    "service": 24,
    "service_record": 16,
    "program": 16,
    "runner": 40,
    "program_record": 32,
    "program_name": 72,
    "asked_for": 256,
    "wakers": 24,
    "local_port": 8,
    "acceptor": 24,
    "rule": 48,
    "settings": 1560,
    "knobs": 40,
    "bypass_totals": 160,
    "connection": 168,
}


def check_sizes() -> None:
    """Assert that cffi lays the structures out as clang does.

    Raises AssertionError, which means that the package was built wrongly.
    """
    for name, size in SIZES.items():
        found = ffi.sizeof(f"struct {name}")
        if found != size:
            raise AssertionError(f"struct {name} has {found} bytes here and {size} in BPF")
