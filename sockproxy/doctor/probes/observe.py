"""A bypass that observes finds the two ends of a connection, and changes nothing."""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import bypassed, converse, tcp_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import OBSERVE

__all__ = ["PROBE"]


def run() -> str:
    with bypassed(observe=True) as seen:
        one, other = tcp_pair()
        with one, other:
            converse(one, other)
            paired, messages = seen("paired"), seen("bypassed_messages")
    if (paired, messages) != (1, 0):
        raise SockproxyError(f"{paired} of 1 connections paired, {messages} messages bypassed")
    return "both ends of a connection"


PROBE = Probe(
    "observe",
    run,
    "'attach' and 'run' are not to be had on this kernel; 'proxy' is",
    Kind.DOES,
    (OBSERVE,),
)
