"""What a verdict without a parser passes is read by the socket's own reader.

A splice never passes an skb: where it does not redirect, the parser holds (see
docs/decisions/0002-parser-path.md).
"""

from __future__ import annotations

from contextlib import closing

from sockproxy.bpf.abi import Action
from sockproxy.bpf.splice import SockmapKernel
from sockproxy.doctor.probe import KERNEL, Kind, Probe
from sockproxy.doctor.sockets import tcp_pair
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import socket_cookie
from sockproxy.proof.mechanisms import VERDICT_ONLY

__all__ = ["PROBE"]


def run() -> str:
    client, near = tcp_pair()
    with closing(SockmapKernel(8, parser=False)) as kernel, client, near:
        slot = kernel.enrol(near, socket_cookie(near))
        kernel.direction(slot).action = Action.PASS
        kernel.start(slot, near.fileno())
        client.sendall(b"passed")
        got = near.recv(100)
        kernel.release(slot, socket_cookie(near))
    if got != b"passed":
        raise SockproxyError(f"b'passed' was sent, and {got!r} read")
    return "6 bytes"


PROBE = Probe("pass", run, KERNEL, Kind.DOES, (VERDICT_ONLY,))
