"""Probes for tests: functions that fail, hang or raise, in the place of what tries the kernel."""

from __future__ import annotations

import time

from sockproxy.doctor import Kind, Probe
from sockproxy.errors import SockproxyError


def fail():
    raise SockproxyError("it is not there", hint="do this", log="verifier says no")


def probe(name, run, *needed_by, kind=Kind.DOES, **limits):
    """A probe whose function needs nothing of a Trial."""
    return Probe(name, lambda _: run(), "hint", kind, needed_by, limits)


def lack(error):
    """A probe's function that raises."""

    def run():
        raise error

    return run


def hang():
    time.sleep(1000)
    return ""
