"""Proofs for tests, and a prover that says what a test has it say."""

from __future__ import annotations

from typing import ClassVar

from sockproxy.proof.mechanisms import MECHANISMS, SPLICE
from sockproxy.proof.proof import Proof
from sockproxy.proof.protocol import Said

FOUND = {name: Proof() for name in MECHANISMS} | {
    SPLICE: Proof({"early data": "round 3: received b''"}, {"probe": "slow"}),
}


UNKNOWN = Proof(unknown={"bypass": "no result in 20 s"}, lasts=False)


class FakeExamination:
    """A doctor that says what is in `says`, and notes what it was asked."""

    asked: ClassVar[list] = []
    says: ClassVar[list] = []

    def __init__(self, mechanisms):
        self.asked.append(list(mechanisms))

    def said_within(self, seconds):
        yield from self.says

    def why_no_answer(self):
        return "ended with status 1"

    def close(self):
        pass


def says(**found):
    """One of doctor's lines."""
    return Said(proofs=found)
