"""What lies in the maps, as Python sees it: the values and sizes of bpf/shared.h."""

from __future__ import annotations

from enum import IntEnum

from sockproxy.libbpf import ffi

__all__ = ["SIZES", "Action", "Held", "Plain", "Role", "check_sizes"]


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


class Plain(IntEnum):
    """enum plain_reason."""

    NOT = 0
    PEER_UNSEEN = 1
    POLICY = 2
    MULTIPATH = 3
    AMBIGUOUS = 4


class Role(IntEnum):
    """enum end_role."""

    OPENER = 1
    ACCEPTER = 2


# The sizes in bytes that bpf/layout.h asserts as well.
SIZES = {
    "direction": 112,
    "hold_event": 8,
    "inspection": 40,
    "enrolment": 32,
    "handshake": 8,
    "opener": 32,
    "enrolled": 32,
    "rule": 48,
    "settings": 1560,
    "bypass_totals": 56,
    "connection": 112,
}


def check_sizes() -> None:
    """Assert that cffi lays the structures out as clang does.

    Raises AssertionError, which means that the package was built wrongly.
    """
    for name, size in SIZES.items():
        found = ffi.sizeof(f"struct {name}")
        if found != size:
            raise AssertionError(f"struct {name} has {found} bytes here and {size} in BPF")
