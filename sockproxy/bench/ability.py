"""Cases and systems that cannot be measured on this machine, and why: a program is missing, or
a mechanism is off."""

from __future__ import annotations

from collections.abc import Iterable

from sockproxy.bench import machine
from sockproxy.bench.load import Tool
from sockproxy.bench.scenario import Case
from sockproxy.bench.systems import System
from sockproxy.proof.ask import proof_of
from sockproxy.proof.mechanisms import BYPASS, SPLICE

__all__ = ["find_off", "why_no_case", "why_no_system"]


def find_off(systems: Iterable[System]) -> dict[str, str]:
    """The keys of the systems whose mechanism doctor has found off on this kernel, and why."""
    off = {}
    for system in systems:
        peer = system.peer
        spliced = peer is not None and peer.counts and not peer.relays
        needed = [SPLICE] * spliced + [BYPASS] * system.bypassed
        for why in (proof_of(each).why_not for each in needed):
            if why:
                off[system.key] = why
    return off


def why_no_case(case: Case, tool: Tool) -> str:
    """Why a case cannot be measured on this machine by any system; "" when it can."""
    if missing := tool.missing():
        return f"no {', '.join(missing)}: {tool.install}"
    if case.placement == "apart" and len(set(machine.choose_cpus())) < 2:
        return "there is only one CPU"
    if not machine.may_have(case.control):
        return (
            f"no namespace may have {case.control}: modprobe tcp_{case.control}, and add it to"
            " net.ipv4.tcp_allowed_congestion_control"
        )
    return ""


def why_no_system(case: Case, tool: Tool, system: System) -> str:
    """Why a case cannot be measured with a system, whatever the kernel; "" when it can."""
    if system.unix and not tool.unix:
        return f"{tool.title} has no AF_UNIX"
    if system.unix and case.topology != "loopback":
        return "AF_UNIX needs no network"
    if system.peer is not None and system.peer.is_missing():
        return f"no {system.peer.program}: {system.peer.install}"
    return ""
