"""A small binding of libbpf 1.x: open, set knobs, load, attach, pin, read and write maps.

Lowest layer: it knows nothing of sockets or proxies.
"""

from __future__ import annotations

from sockproxy.bpf.library import check, failure, ffi, load_library, version
from sockproxy.bpf.map import Map, open_pinned, pin, pinned
from sockproxy.bpf.object import BpfObject, Link, Program, Runner
from sockproxy.bpf.rights import missing_capabilities

__all__ = [
    "BpfObject",
    "Link",
    "Map",
    "Program",
    "Runner",
    "check",
    "failure",
    "ffi",
    "load_library",
    "missing_capabilities",
    "open_pinned",
    "pin",
    "pinned",
    "version",
]
