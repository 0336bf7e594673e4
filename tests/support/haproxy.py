"""An HAProxy as a process of a test."""

from __future__ import annotations

from tests.support.servers import serving

__all__ = ["haproxy"]

DEFAULTS = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
"""


def haproxy(folder, text, port):
    """One of this text, below defaults for TCP, that is there once the port answers."""
    path = folder / "haproxy.cfg"
    path.write_text(DEFAULTS + text)
    return serving(port, "haproxy", "-db", "-f", path)
