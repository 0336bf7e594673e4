"""The figure in what a client prints: by a regular expression, or by a JSONPath."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sockproxy.errors import SockproxyError, Unsupported, UsageError
from sockproxy.text import clean, shortened

__all__ = ["Finder", "read_finder"]

TOLD = 80  # characters of a match that an error shows
PATH_HINT = "write a JSONPath (RFC 9535), such as '$.end.sum_received.bits_per_second'"
GROUP_HINT = "put the figure alone into a group, as in 'rate: ([0-9.]+)', and others into (?:...)"


@dataclass(frozen=True, slots=True)
class Finder:
    """Where a figure is. text: as it was written."""

    text: str
    _matches: Callable[[str], Sequence[Any]]

    def find(self, output: str) -> float:
        """The figure, which is above zero: ratios are made of it.

        Raises SockproxyError when nothing matches, when several do, or for what is no such number.
        """
        found = self._matches(output)
        if not found:
            raise SockproxyError(f"{self.text!r} matches nothing that was printed")
        if len(found) > 1:
            told = f"{_told(found[0])}, {_told(found[1])}"
            raise SockproxyError(
                f"{self.text!r} matches {len(found)} times ({told})",
                hint="write one that matches once",
            )
        figure = _number(found[0])
        if figure <= 0:
            raise SockproxyError(f"{_told(found[0])} is not above zero")
        return figure

    def find_all(self, output: str) -> tuple[float, ...]:
        """All figures, none of them below zero, such as one for each second.

        Raises SockproxyError when nothing matches, or for what is no such number.
        """
        found = tuple(map(_number, self._matches(output)))
        if not found:
            raise SockproxyError(f"{self.text!r} matches nothing that was printed")
        return found


def read_finder(text: str) -> Finder:
    """What finds a figure: a JSONPath where the text begins with a dollar, else a regular
    expression, in which ^ and $ are the ends of a line, with one group.

    Raises UsageError for what is neither, Unsupported where the JSONPath library is missing.
    """
    if text.startswith("$"):
        return Finder(text, _by_path(text))
    return Finder(text, _by_expression(text))


def _by_expression(text: str) -> Callable[[str], Sequence[str]]:
    try:
        expression = re.compile(text, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"regular expression {text!r}: {error}") from None
    if expression.groups != 1:
        many = f"{expression.groups} groups" if expression.groups else "no group"
        raise UsageError(f"regular expression {text!r} has {many}", hint=GROUP_HINT)
    # Of a group that is optional, and was not there, there is no text.
    return lambda output: [found[1] or "" for found in expression.finditer(output)]


def _by_path(text: str) -> Callable[[str], Sequence[Any]]:
    try:
        # Only here: it is an extra, and most figures are found without it.
        import jsonpath
    except ImportError:
        raise Unsupported("read a JSONPath", hint="pip install 'sockproxy[bench]'") from None
    try:
        path = jsonpath.compile(text, strict=True)
    except (jsonpath.JSONPathError, RecursionError) as error:
        why = str(error).partition("\n")[0]
        raise UsageError(f"JSONPath {text!r}: {why}", hint=PATH_HINT) from None

    def matches(output: str) -> Sequence[Any]:
        try:
            document = json.loads(output)
        except (ValueError, RecursionError):
            raise SockproxyError("what was printed is no JSON, or is cut off") from None
        return path.findall(document)

    return matches


def _number(found: Any) -> float:
    try:
        figure = float("" if isinstance(found, bool) else found)
    except (TypeError, ValueError, OverflowError):
        raise SockproxyError(f"{_told(found)} is not a number") from None
    if not math.isfinite(figure) or figure < 0:
        raise SockproxyError(f"{_told(found)} is below zero, or has no end")
    return figure


def _told(found: Any) -> str:
    return shortened(clean(repr(found)), TOLD)
