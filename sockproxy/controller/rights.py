"""What a process needs to load and attach BPF programs, for probes."""

from __future__ import annotations

from sockproxy.libbpf.rights import missing_capabilities

__all__ = ["missing_capabilities"]
