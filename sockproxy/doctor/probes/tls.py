"""kTLS on a socket in a sockmap does not crash the kernel.

CVE-2025-38166: bpf_exec_tx_verdict() runs an iterator past its end when an sk_msg program
shortens a record. Mended by 54a3ecaeeeae (6.16, 6.15.3, 6.12.34, 6.6.94, 6.1.142, 5.15.186).
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.versions import must_not_be

__all__ = ["PROBE"]

AFFECTED = (("5.10", "5.15.186"), ("5.16", "6.1.142"), ("6.2", "6.6.94"), ("6.7", "6.12.34"),
            ("6.13", "6.15.3"))  # fmt: skip


def run() -> str:
    return must_not_be(AFFECTED)


PROBE = Probe(
    "TLS",
    run,
    "update the kernel",
    Kind.GATE,
    avoided="a socket with an upper layer protocol is not enrolled, and an enrolled one gets none",
)
