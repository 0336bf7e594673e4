"""Figures, spans of time and lists, as sentences have them."""

from __future__ import annotations

import datetime
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from sockproxy.bench.result.document import Document

__all__ = ["DASH", "ELLIPSIS", "NONE", "SPACE", "TIMES", "anchor", "command_line", "count",
           "duration", "every", "listed", "number", "short", "span", "when"]  # fmt: skip

DASH, TIMES, SPACE = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}", "\N{NO-BREAK SPACE}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
NONE = DASH  # in a table, for what is not there
LONGEST = 60  # signs of a title inside a sentence


def anchor(number: int) -> str:
    """Of a case's section."""
    return f"case-{number + 1}"


def short(case: Mapping[str, Any]) -> str:
    """What runs, without where: that is behind the title's semicolon."""
    words = str(case["title"]).partition(";")[0]
    return words if len(words) <= LONGEST else f"{words[:LONGEST].rstrip()}{ELLIPSIS}"


def number(figure: float) -> str:
    """A ratio: two digits after the point, more where it is so small that these say nothing."""
    if not math.isfinite(figure) or figure >= 1e5 or 0 < figure < 0.01:
        return f"{figure:.2g}"
    return f"{figure:.2f}" if figure >= 0.1 else f"{figure:.3f}"


def span(low: str, high: str) -> str:
    """From low to high."""
    return f"{low} {DASH} {high}"


def count(many: int, word: str) -> str:
    """So many of them: the plural has an s."""
    return f"{many} {word}{'' if many == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def every(counted: str) -> str:
    """All of so many cases."""
    return {"1 case": "its only case", "2 cases": "both cases"}.get(counted, f"all {counted}")


def command_line(argv: Sequence[str]) -> str:
    """A command line. Dollars are placeholders here, which quotes would only hide."""
    return " ".join(word if word and not set(word) & set(" \t\n\"'\\") else shlex.quote(word)
                    for word in argv)  # fmt: skip


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def when(document: Document) -> str:
    """When it began, as people write it; as it stands where it is no ISO time."""
    try:
        began = datetime.datetime.fromisoformat(document["began"])
    except ValueError:
        return str(document["began"])
    zone = began.strftime("%Z")
    return f"{began:%Y-%m-%d %H:%M} {zone}".rstrip()
