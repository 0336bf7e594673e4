"""Doctor's way with checks that fail, hang or crash."""

from __future__ import annotations

import os
import time

from sockproxy.controller.doctor import Check, examine, verdicts
from sockproxy.errors import SockproxyError


def fail():
    raise SockproxyError("it is not there", hint="do this", log="verifier says no")


CHECKS = (
    Check("good", ("a", "b"), lambda: "found", "hint"),
    Check("failing", ("b",), fail, "hint"),
    Check("broken", ("c",), lambda: str(1 // 0), "hint"),
    Check("hanging", ("c",), lambda: time.sleep(60) or "", "hint"),
    Check("crashing", ("c",), lambda: os._exit(9), "hint"),
)


def test_each_way_to_fail_is_a_finding():
    findings = list(examine(CHECKS, seconds=0.5))
    assert [finding.ok for finding in findings] == [True, False, False, False, False]
    assert [finding.found for finding in findings] == [
        "found", "it is not there", "integer division or modulo by zero",
        "no result in 0.5 s", "the check crashed (9)",
    ]  # fmt: skip
    assert findings[1].log == "verifier says no"
    assert [finding.advice for finding in findings] == ["", "do this", "hint", "hint", "hint"]
    assert verdicts(findings) == {
        "a": [], "b": ["failing"], "c": ["broken", "hanging", "crashing"],
    }  # fmt: skip
