"""Placeholders in the command lines and configurations of what is measured: $port, $address."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping

from sockproxy.errors import UsageError

__all__ = ["check", "fill", "named"]


def fill(texts: Iterable[str], values: Mapping[str, object], where: object) -> list[str]:
    """The texts with their placeholders filled in. where: the file or option that they are of.

    Raises UsageError for a placeholder that is none.
    """
    try:
        return [string.Template(text).substitute(values) for text in texts]
    except KeyError as error:
        known = ", ".join(f"${name}" for name in sorted(values))
        raise UsageError(
            f"{where}: there is no ${error.args[0]}",
            hint=f"there are {known}; write $$ for a dollar",
        ) from None
    except ValueError as error:
        raise UsageError(f"{where}: {error}", hint="write $$ for a dollar") from None


def named(texts: Iterable[str]) -> set[str]:
    """The names of all placeholders in the texts, without the dollar."""
    return {name for text in texts for name in string.Template(text).get_identifiers()}


def check(texts: Iterable[str], known: Iterable[str], where: object) -> None:
    """Raise UsageError as fill() does, without values."""
    fill(texts, dict.fromkeys(known, ""), where)
