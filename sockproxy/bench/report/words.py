"""Figures, spans of time and lists, as sentences have them."""

from __future__ import annotations

import datetime
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from sockproxy.bench.result.document import Document

__all__ = [
    "DASH",
    "ELLIPSIS",
    "NONE",
    "SPACE",
    "TIMES",
    "anchor",
    "command_line",
    "count",
    "duration",
    "every",
    "listed",
    "number",
    "short",
    "span",
    "when",
]

DASH, TIMES, SPACE = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}", "\N{NO-BREAK SPACE}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
NONE = DASH  # in a table, for what is not there
LONGEST = 60  # signs of a title inside a sentence


def anchor(number: int) -> str:
    """The id of a case's section in the page; `number` counts from 0."""
    return f"case-{number + 1}"


def short(case: Mapping[str, Any]) -> str:
    """The load of a case, cut where it is long: what its title has before the semicolon."""
    words = str(case["title"]).partition(";")[0]
    return words if len(words) <= LONGEST else f"{words[:LONGEST].rstrip()}{ELLIPSIS}"


def number(figure: float) -> str:
    """A ratio with two digits after the point, and with more where it is close to zero."""
    if not math.isfinite(figure) or figure >= 1e5 or 0 < figure < 0.01:
        return f"{figure:.2g}"
    return f"{figure:.2f}" if figure >= 0.1 else f"{figure:.3f}"


def span(low: str, high: str) -> str:
    """A range, "low - high" with a dash between them."""
    return f"{low} {DASH} {high}"


def count(many: int, word: str) -> str:
    """ "1 case", "2 cases": a number with a noun whose plural has an s."""
    return f"{many} {word}{'' if many == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """A list in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def every(counted: str) -> str:
    """ "its only case", "both cases", "all 3 cases", of what count() has made of "case"."""
    return {"1 case": "its only case", "2 cases": "both cases"}.get(counted, f"all {counted}")


def command_line(argv: Sequence[str]) -> str:
    """A command line as a shell takes it, but for dollars: here those are placeholders, which
    quotes would only hide."""
    return " ".join(
        word if word and not set(word) & set(" \t\n\"'\\") else shlex.quote(word) for word in argv
    )


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours, whichever gives a short number."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def when(document: Document) -> str:
    """When the run began, as people write it; what the document has, where that is no ISO time."""
    try:
        began = datetime.datetime.fromisoformat(document["began"])
    except ValueError:
        return str(document["began"])
    zone = began.strftime("%Z")
    return f"{began:%Y-%m-%d %H:%M} {zone}".rstrip()
