"""What lies in the maps, as Python sees it: bpf/abi/, which clang and cffi read as well.

The enums and SharedDirection are generated from it when the package is built. Structs are cdata
of cffi, by their names in C.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

from sockproxy.bpf._layout import (
    Action,
    Drains,
    Event,
    Held,
    Join,
    Mode,
    Plain,
    Proof,
    Proxied,
    Refusal,
    Role,
    SharedDirection,
    Trait,
)
from sockproxy.bpf.library import ffi

__all__ = [
    "Action",
    "Drains",
    "Event",
    "Held",
    "Join",
    "Mode",
    "Plain",
    "Proof",
    "Proxied",
    "Refusal",
    "Role",
    "SharedDirection",
    "Trait",
    "field_names",
    "read_counters",
    "read_end",
    "read_text",
]


def field_names(struct: str) -> tuple[str, ...]:
    """The integers of `struct NAME` in their order, those of structs inside it in their place."""
    return tuple(_integers(ffi.typeof(f"struct {struct}")))


def _integers(ctype: Any) -> list[str]:
    found: list[str] = []
    for name, field in ctype.fields:
        found += _integers(field.type) if field.type.kind == "struct" else [name]
    return found


def read_counters(raw: Any) -> dict[str, int]:
    """The values of a struct of integers alone, by field_names() and in their order.

    raw: cdata of the struct; not a pointer to it.
    """
    found: dict[str, int] = {}
    for name, field in ffi.typeof(raw).fields:
        value = getattr(raw, name)
        found.update(read_counters(value) if field.type.kind == "struct" else {name: int(value)})
    return found


def read_text(name: Any) -> str:
    """What an array of char says."""
    text: bytes = ffi.string(name)
    return text.decode(errors="replace")


def read_end(raw: Any, end: str) -> tuple[str, int]:
    """Host and port of one end, "local" or "remote", in a struct that has both; IPv4 as such."""
    return _host(bytes(ffi.buffer(getattr(raw, end)))), int(getattr(raw, f"{end}_port"))


@lru_cache(maxsize=1024)
def _host(address: bytes) -> str:
    found = ipaddress.IPv6Address(address)
    return str(found.ipv4_mapped or found)
