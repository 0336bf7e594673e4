"""What lies in the maps, as Python sees it: bpf/abi/, which clang and cffi read as well.

The enums and SharedDirection are generated from it when the package is built. Structs are cdata
of cffi, by their names in C.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache, lru_cache
from typing import Any

from sockproxy.bpf._layout import (
    Action,
    Drains,
    Event,
    Gain,
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
    Way,
)
from sockproxy.bpf.library import ffi

__all__ = [
    "Action",
    "Drains",
    "Event",
    "Gain",
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
    "Way",
    "field_names",
    "read_counters",
    "read_end",
    "read_fields",
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


def read_fields(raw: Any, cls: Any, reads: Mapping[str, Callable[[Any], Any]]) -> Any:
    """A dataclass, of a struct that has its fields by their names: those of struct traffic in its
    `sent`, and `local` and `remote` with their ports. raw: cdata of it, or a pointer to it.

    reads: how fields are read that are no integers in Python.
    """
    found = {name: reads.get(name, int)(getattr(raw, name)) for name in _plain_fields(cls)}
    for end in _ENDS:
        found[end] = read_end(raw, end)
    return cls(**found | read_counters(raw.sent))


_ENDS = ("local", "remote")


@cache
def _plain_fields(cls: Any) -> tuple[str, ...]:
    apart = (*_ENDS, *field_names("traffic"))
    return tuple(each.name for each in fields(cls) if each.name not in apart)


def read_text(name: Any) -> str:
    """What an array of char says."""
    text: bytes = ffi.string(name)
    return text.decode(errors="replace")


def read_end(raw: Any, end: str) -> tuple[str, int]:
    """Host and port of one end, such as "local", in a struct that has it; IPv4 as such."""
    return _host(bytes(ffi.buffer(getattr(raw, end)))), int(getattr(raw, f"{end}_port"))


@lru_cache(maxsize=1024)
def _host(address: bytes) -> str:
    found = ipaddress.IPv6Address(address)
    return str(found.ipv4_mapped or found)
