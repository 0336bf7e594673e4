"""Each probe tells what it is about, what follows, and which commits of the kernel it means."""

from __future__ import annotations

import re

import pytest

from sockproxy.doctor import PROBES, Kind, Probe, probes


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_probe_explains_itself_and_has_a_consequence(probe):
    assert len(probe.about) > 40
    assert probe.hint
    assert probe.needed_by or probe.limits or probe.avoided


def test_gates_come_before_what_they_keep_from_being_tried():
    kinds = [probe.kind for probe in PROBES]
    assert kinds == sorted(kinds)
    assert Kind.GATE < Kind.LOADS


def test_every_probe_of_a_subject_is_among_them():
    """None is written, and then forgotten in its module's PROBES."""
    written = {
        value.name
        for subject in probes.SUBJECTS
        for value in vars(subject).values()
        if isinstance(value, Probe)
    }
    names = [each.name for each in PROBES]
    assert written <= set(names)
    assert len(set(names)) == len(names)


NAMED = re.compile(r"CVE-\d+-\d+|\b(?=[0-9]*[a-f])[0-9a-f]{7,12}\b")
ELSEWHERE = {
    "CVE-2025-38154",
    "CVE-2025-38165",
    "CVE-2025-38166",  # beside the commit that mended it
    "CVE-2026-98925",  # "see also"
}


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_commit_that_a_probe_names_has_its_title_and_versions(probe):
    commits = [*probe.brought_by, *probe.mended_by]
    for named in set(NAMED.findall(probe.about)) - ELSEWHERE:
        assert any(each.name.startswith(named) for each in commits), named
    for each in commits:
        assert re.fullmatch(r"CVE-\d+-\d+|[0-9a-f]{12}", each.name)
        assert len(each.subject) > 20
        assert re.search(r"\d", each.versions)


def test_every_gate_for_a_bug_says_which_commit_mended_it():
    assert {each.name for each in PROBES if each.kind == Kind.GATE and not each.mended_by} == {
        "5.10 or later"
    }


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_what_explain_shows_is_for_people(probe):
    first, *_ = probe.about.split("\n\n")
    assert first.endswith((".", "!"))
    assert not probe.hint.endswith(".")  # the command line makes a sentence of it
    assert not probe.avoided.endswith(".")
    assert probe.about == probe.about.strip()
