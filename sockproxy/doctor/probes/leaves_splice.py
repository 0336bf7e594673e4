"""A socket whose bytes were redirected can be read when it has left the sockmap.

From 6.0 to b40cc5a (2026-01) redirected bytes could move copied_seq twice: TCP then waited for
bytes that it had. See also CVE-2026-98925.
"""

from __future__ import annotations

from contextlib import closing

from sockproxy.bpf.abi import Action
from sockproxy.bpf.splice import SockmapKernel
from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import tcp_pair
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import socket_cookie
from sockproxy.proof.mechanisms import SPLICE

__all__ = ["PROBE"]

ROUNDS = 10


def run() -> str:
    client, near = tcp_pair()
    server, far = tcp_pair()
    with closing(SockmapKernel(8)) as kernel, client, near, server, far:
        for _ in range(ROUNDS):
            slots = {sock: kernel.enrol(sock, socket_cookie(sock)) for sock in (near, far)}
            shared = kernel.direction(slots[near])
            shared.action, shared.target, shared.budget = Action.REDIRECT, slots[far], 1 << 20
            kernel.start(slots[near], near.fileno())
            client.sendall(b"redirected")
            if server.recv(100) != b"redirected":
                raise SockproxyError("what was redirected did not arrive")
            for sock, slot in slots.items():
                kernel.release(slot, socket_cookie(sock))
            client.sendall(b"plain")
            if (got := near.recv(100)) != b"plain":
                raise SockproxyError(f"then b'plain' was sent, and {got!r} read")
    return f"by TCP, from where it was, {ROUNDS} times"


PROBE = Probe(
    "leave the splice",
    run,
    "use 'proxy --relay' on this kernel, and report it",
    Kind.BUG,
    (SPLICE,),
)
