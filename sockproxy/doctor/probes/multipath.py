"""A subflow of MPTCP in a sockmap does not crash the kernel.

Before fbade4bd08ba (6.18, 6.17.10, 6.12.60, 6.1.159) sock_ops could enrol one, and its protocol
functions were then replaced under MPTCP's feet.
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.versions import must_not_be

__all__ = ["PROBE"]

AFFECTED = (("5.10", "6.1.159"), ("6.2", "6.12.60"), ("6.13", "6.17.10"))


def run() -> str:
    return must_not_be(AFFECTED)


PROBE = Probe(
    "multipath",
    run,
    "update the kernel",
    Kind.GATE,
    avoided="a subflow is never enrolled (bpf/common/multipath.h)",
)
