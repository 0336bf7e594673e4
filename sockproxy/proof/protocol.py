"""How a prover is asked, and what it says: both ends of each, for who asks and for who answers.

It is asked by its arguments, PARENT MECHANISM...: the process that asks, with which it ends, and
what to find out about. It answers on stdout with an object of JSON a line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sockproxy.proof.proof import Proof, from_document, to_document

__all__ = ["Said", "command", "parse_arguments", "parse_line", "to_line"]


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a prover: words for people, or what it has found out so far.

    told: the words; "" where the line has proofs. proofs: by mechanism, none where it has words.
    """

    told: str = ""
    proofs: Mapping[str, Proof] = field(default_factory=dict)


def command(prover: str, mechanisms: Iterable[str]) -> list[str]:
    """What to execute to have `prover`, a package's name, examine these for this process."""
    # -P: not from the working directory, which may be anybody's.
    return [sys.executable, "-P", "-m", prover, str(os.getpid()), *mechanisms]


def parse_arguments(argv: Sequence[str]) -> tuple[int, list[str]]:
    """The pid of who asks, and the mechanisms, of a prover's sys.argv."""
    _, parent, *mechanisms = argv
    return int(parent), mechanisms


def to_line(said: Said) -> str:
    """A line for stdout, without its end, as parse_line() reads it."""
    return json.dumps({"told": said.told} if said.told else to_document(said.proofs))


def parse_line(line: bytes) -> Said | None:
    """What a line says; None for what no prover says, as the last words of a traceback."""
    try:
        document = json.loads(line)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    return Said(str(document.get("told", "")), from_document(document))
