"""Rules that say which connections are meant, as BPF programs have them: bpf/abi/rules.h."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Any

from sockproxy.bpf import ffi
from sockproxy.errors import UsageError
from sockproxy.net.rules import Rule

__all__ = ["check_rules", "read_rules", "write_rules"]

MOST_RULES: int = dict(ffi.typeof("struct rules").fields)["rule"].type.length


def check_rules(rules: Collection[Rule]) -> None:
    """Raises UsageError where there are more than a struct rules has room for."""
    if len(rules) > MOST_RULES:
        raise UsageError(f"{len(rules)} rules", hint=f"at most {MOST_RULES} are possible")


def write_rules(rules: Collection[Rule], into: Any) -> None:
    """into: a zeroed struct rules. Raises UsageError as check_rules() does."""
    check_rules(rules)
    into.count = len(rules)
    into.allows = sum(not rule.deny for rule in rules)
    for number, rule in enumerate(rules):
        raw = into.rule[number]
        raw.deny = rule.deny
        raw.first_port, raw.last_port = rule.ports
        raw.only_ipv6 = rule.only_ipv6
        ffi.memmove(raw.prefix, rule.network.network_address.packed, 16)
        ffi.memmove(raw.mask, rule.network.netmask.packed, 16)


def read_rules(raw: Any) -> tuple[Rule, ...]:
    """Of a struct rules."""
    return tuple(_read_rule(raw.rule[number]) for number in range(raw.count))


def _read_rule(raw: Any) -> Rule:
    prefix = ipaddress.IPv6Address(bytes(ffi.buffer(raw.prefix)))
    bits = int.from_bytes(bytes(ffi.buffer(raw.mask)), "big").bit_count()
    network = ipaddress.IPv6Network((prefix, bits))
    ports = (int(raw.first_port), int(raw.last_port))
    return Rule(bool(raw.deny), network, ports, bool(raw.only_ipv6))
