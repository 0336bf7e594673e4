"""FIONREAD counts what came by TCP, on a socket in a sockmap.

From 929e30f93125 (6.6.128, 6.12.75, 6.18.14) to 04af4efde58a it does not:
a program that asks before it reads waits for ever. Those that are known to ask are then left
alone by `attach`, by name.
"""

from __future__ import annotations

from sockproxy.controller.doctor.probe import Kind, Probe
from sockproxy.controller.left_alone import FIONREAD_USERS
from sockproxy.controller.mechanisms import BYPASS
from sockproxy.errors import SockproxyError
from sockproxy.kernel.fionread import counts_tcp

__all__ = ["PROBE"]

USERS = ", ".join(FIONREAD_USERS)


def run() -> str:
    if not counts_tcp():
        raise SockproxyError("it forgets what came by TCP")
    return "all that is there"


PROBE = Probe(
    "FIONREAD",
    run,
    f"'attach' leaves {USERS} alone; name others that ask with --except",
    Kind.BUG,
    limits={BYPASS: f"{USERS} stay on TCP"},
)
