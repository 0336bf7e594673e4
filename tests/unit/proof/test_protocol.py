"""What a prover is asked, and what it says: each end reads what the other wrote."""

from __future__ import annotations

import os

import pytest

from sockproxy.proof import protocol
from sockproxy.proof.mechanisms import BYPASS, OBSERVE
from sockproxy.proof.protocol import Said, parse_arguments, parse_line, to_line
from tests.unit.proof.made import FOUND


@pytest.mark.parametrize("said", [Said("a line"), Said(proofs=FOUND), Said()])
def test_what_a_prover_says_is_read_as_it_was_said(said):
    assert parse_line(to_line(said).encode()) == said


@pytest.mark.parametrize("line", [b"", b"MemoryError: no more", b"[1]", b"null", b"\xff"])
def test_what_no_prover_says_is_told_from_what_one_does(line):
    assert parse_line(line) is None


def test_what_a_prover_is_asked_is_read_as_it_was_asked():
    argv = protocol.command("sockproxy.doctor", (BYPASS, OBSERVE))
    name = argv.index("sockproxy.doctor")
    assert argv[name - 1] == "-m"
    assert parse_arguments(argv[name:]) == (os.getpid(), [BYPASS, OBSERVE])
