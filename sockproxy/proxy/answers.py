"""What a running proxy may answer: its shape, and nothing in it that a terminal would obey.

It may be of another version, or something else that has the name. Fields that nobody shows are
let through; those that are shown must be there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sockproxy.errors import SockproxyError
from sockproxy.text import clean, shortened
from sockproxy.worker.classes import LIVES, SIZES

__all__ = ["MOST_BYTES", "label_of", "read_answer"]

LONGEST = 1000  # characters of one text
LARGEST = 1 << 64
_UNCLEAN = re.compile(rb'[\\\x00-\x1f\x7f]|"[^"]{%d}' % LONGEST)
Check = Callable[[Any], bool]
MOST_BYTES = {
    "status": 1 << 22,
    "metrics": 1 << 22,
    "connections": 1 << 28,
    "reload": 1 << 20,
    "retire": 1 << 20,
}
"""Of an answer: half a million connections take as much as the second."""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and abs(value) < LARGEST  # type: ignore[arg-type]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


# A function tells of one value; [each], (first, second) and {name: each} of more.
_WAY = {
    "state": _is_text,
    "why": _is_text,
    "redirected": _is_count,
    "pumped": _is_count,
    "short_circuited": _is_count,
    "dropped": _is_count,
    "holds": _is_count,
}
_ADDRESS = (_is_text, _is_count)
_PAIR = {
    "number": _is_count,
    "service": _is_text,
    "client": _ADDRESS,
    "upstream": _ADDRESS,
    "age": _is_seconds,
    "forward": _WAY,
    "backward": _WAY,
    "why_not_short_circuited": _is_text,
}
_UPSTREAM = {
    "address": _is_text,
    "state": _is_text,
    "why": _is_text,
    "weight": _is_count,
    "weight_now": _is_seconds,
    "max_connections": lambda value: value is None or _is_count(value),
    "clients": _is_count,
    "chosen": _is_count,
}
_UPSTREAMS = {"upstreams": [_UPSTREAM], "waiting": _is_count}
_ROUTED = {"upstream": [_is_text], **_UPSTREAMS}
_SERVICE = {"name": _is_text, "routes": _is_count, **_UPSTREAMS, "routed": [_ROUTED]}
_STATUS = {
    "name": _is_text,
    "pid": _is_count,
    "age": _is_seconds,
    "listen": [_is_text],
    "upstream": [_is_text],
    "services": [_SERVICE],
    "path": _is_text,
    "why_not": _is_text,
    "why_no_cgroup": _is_text,
    "connections": _is_count,
    "connections_ended": _is_count,
    "connections_reset": _is_count,
    "connections_refused": _is_count,
    "refusals": [{"why": _is_text, "clients": _is_count}],
    "redirected": _is_count,
    "pumped": _is_count,
    "short_circuited": _is_count,
    "short_circuits_in": [_is_text],
    "why_no_short_circuit": _is_text,
    "holds": _is_count,
    "workers": [{"connections": _is_count, "connections_ended": _is_count}],
}
_METRICS = {
    **_STATUS,
    "since": _is_seconds,
    "accelerated": _is_flag,
    "budget": _is_count,
    "max_connections": _is_count,
    "dropped": _is_count,
    "lives": (_is_count,) * (len(LIVES) + 1),
    "sizes": (_is_count,) * (len(SIZES) + 1),
    "lived": _is_seconds,
    "carried": _is_count,
    "outcomes": [{"why": _is_text, "count": _is_count}],
    "reasons": [{"what": _is_text, "state": _is_text, "why": _is_text, "count": _is_count}],
}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "status": _STATUS,
    "metrics": _METRICS,
    "connections": {"name": _is_text, "pid": _is_count, "connections": [_PAIR]},
    "reload": {"name": _is_text, "pid": _is_count, "changes": [_is_text], "error": _is_text},
    "retire": {"name": _is_text, "pid": _is_count},
}


def read_answer(name: str, question: str, text: bytes) -> dict[str, Any]:
    """The answer of the proxy `name`. Raises SockproxyError when it is none."""
    try:
        answer: dict[str, Any] = json.loads(text)
        if _CHECKS[question](answer) and answer["name"] == name:
            return answer if _is_clean(text) else _clean(answer)
    except (ValueError, RecursionError):
        pass
    raise SockproxyError(
        f"the proxy {name} gave no proper answer",
        hint="is it of another version? 'sockproxy --version' tells yours",
    )


def label_of(proxy: str, service: str) -> str:
    """How a service of an answer is shown: ``edge/web``, or ``edge`` where it has no name."""
    return f"{proxy}/{service}" if service else proxy


def _check_of(shape: Any) -> Check:
    """What tells whether a value has the shape. Ten thousand rows are looked at by it."""
    if isinstance(shape, Mapping):
        fields = tuple((key, _check_of(each)) for key, each in shape.items())
        return lambda value: (
            isinstance(value, dict)
            and all(key in value and check(value[key]) for key, check in fields)
        )
    if isinstance(shape, list):
        check_row = _check_of(shape[0])
        return lambda value: isinstance(value, list) and all(map(check_row, value))
    if isinstance(shape, tuple):
        checks = tuple(map(_check_of, shape))
        return lambda value: (
            isinstance(value, list)
            and len(value) == len(checks)
            and all(check(each) for check, each in zip(checks, value, strict=True))
        )
    check: Check = shape
    return check


_CHECKS = {question: _check_of(shape) for question, shape in SHAPES.items()}


def _is_clean(text: bytes) -> bool:
    """Whether _clean() would change nothing: no text in it is escaped, or long, or more than ASCII.
    So it is with what a proxy of ours answers, however much that is."""
    return text.isascii() and not _UNCLEAN.search(text)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, dict):
        return {_clean_text(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return value


@lru_cache  # the fields' names and most reasons are the same in every row
def _clean_text(text: str) -> str:
    return shortened(clean(text), LONGEST)
