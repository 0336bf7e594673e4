"""The kinds of suites: how each runs its tests, and how its report is read."""

from __future__ import annotations

from tests.suites.kinds.base import ABORTED, FAILED, PASSED, SKIPPED, THE_RUN, Kind, Outcomes
from tests.suites.kinds.cpython import CPython
from tests.suites.kinds.libuv import Libuv
from tests.suites.kinds.redis import Redis

__all__ = ["ABORTED", "FAILED", "KINDS", "PASSED", "SKIPPED", "THE_RUN", "Kind", "Outcomes"]

KINDS: dict[str, Kind] = {"cpython": CPython(), "redis": Redis(), "libuv": Libuv()}
