"""Redirected bytes that wait while their socket is closed do not use freed memory.

CVE-2025-38154: sk_psock_backlog() sends by sk->sk_socket, which close(2) frees meanwhile. A
proxy that is killed closes like that. It came to the stable releases with 4b4647add7d3, and
was mended by 8259eb0e06d8 (6.16, 6.15.3, 6.12.34, 6.6.94, 6.1.142, 5.15.186). To try it could
crash the machine.
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.versions import must_not_be
from sockproxy.proof.mechanisms import ENROL, SPLICE, VERDICT_ONLY

__all__ = ["PROBE"]

AFFECTED = (
    ("5.15.162", "5.15.186"),
    ("6.1.95", "6.1.142"),
    ("6.6.35", "6.6.94"),
    ("6.7", "6.12.34"),  # from 6.9.6 at kernel.org; 6.8 is Ubuntu's, with fixes of its own
    ("6.13", "6.15.3"),
)


def run() -> str:
    return must_not_be(AFFECTED)


PROBE = Probe(
    "close with a backlog",
    run,
    "update the kernel; 'proxy' relays until then",
    Kind.GATE,
    (SPLICE, ENROL, VERDICT_ONLY),
)
