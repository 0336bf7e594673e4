"""An sk_msg program that corks, or applies a verdict to some bytes, does not use freed memory.

CVE-2026-68284 and CVE-2026-74589: tcp_bpf_sendmsg() and tcp_bpf_send_verdict() keep a message
or a socket over a send that has dropped the lock. Mended in 6.1.183, 6.6.152, 6.12.104,
6.18.45 and 7.1.9.
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.versions import must_not_be

__all__ = ["PROBE"]

AFFECTED = (
    ("5.10", "6.1.183"),
    ("6.2", "6.6.152"),
    ("6.7", "6.12.104"),
    ("6.13", "6.18.45"),
    ("6.19", "7.1.9"),
)


def run() -> str:
    return must_not_be(AFFECTED)


PROBE = Probe(
    "cork",
    run,
    "update the kernel",
    Kind.GATE,
    avoided="our sk_msg programs use neither bpf_msg_cork_bytes() nor bpf_msg_apply_bytes()",
)
