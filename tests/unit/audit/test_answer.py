"""What the trail says of a time, and whether that is all."""

from __future__ import annotations

import os

import pytest

from sockproxy.audit.alive import only_recorder
from sockproxy.audit.answer import answer
from sockproxy.audit.record import Recorder
from sockproxy.audit.trail import Trail
from sockproxy.errors import SockproxyError


@pytest.fixture
def trail(tmp_path):
    return Trail(tmp_path)


def at(hour):
    return f"2026-01-02T{hour:02}:00:00.000000+00:00"


def write(trail, hour, action, **more):
    trail.append({"time": at(hour), "action": action, "bypass": "web", **more})


def skipped(trail, hour, program="curl", bypass="web"):
    write(trail, hour, "skipped-tcp", program=program, bypass=bypass)


def gaps(found):
    return [each.removesuffix(": nobody recorded").split(" to ") for each in found.missing]


def test_all_of_it(trail):
    write(trail, 1, "recording")
    write(trail, 2, "attached")
    skipped(trail, 3)
    skipped(trail, 4, "wget")
    write(trail, 9, "recording-ended")
    found = answer(trail, at(2), at(8))
    assert [each["action"] for each in found.actions] == ["attached"]
    assert [each["program"] for each in found.skipped] == ["curl", "wget"]
    assert found.missing == []
    assert [each["program"] for each in answer(trail, at(2), at(8), None, "wget").skipped] == [
        "wget"
    ]
    assert answer(trail, at(4), at(8)).actions == []
    assert answer(trail, at(2), at(8), "other").skipped == []


@pytest.mark.parametrize(
    ("recorded", "since", "until", "expected"),
    [
        ([], 1, 5, [(1, 5)]),
        ([(2, 3)], 1, 5, [(1, 2), (3, 5)]),
        ([(1, 3), (4, 9)], 2, 5, [(3, 4)]),
        ([(1, 2), (3, 9)], 4, 5, []),
        ([(1, 2)], 3, 5, [(3, 5)]),
        ([(6, 9)], 3, 5, [(3, 5)]),
    ],
)
def test_times_in_which_nobody_recorded(trail, recorded, since, until, expected):
    for begun, ended in recorded:
        write(trail, begun, "recording")
        write(trail, ended, "recording-ended")
    found = answer(trail, at(since), at(until))
    assert gaps(found) == [[at(begun), at(ended)] for begun, ended in expected]


def test_a_recorder_that_was_killed(trail):
    """The next tells when it last lived; until then its lock's file does."""
    write(trail, 1, "recording")
    write(trail, 5, "recording", before=at(3))
    write(trail, 9, "recording-ended")
    assert gaps(answer(trail, at(1), at(9))) == [[at(3), at(5)]]


def test_one_that_lives(trail):
    write(trail, 1, "recording")
    assert gaps(answer(trail, at(2), at(5))) == [[at(2), at(5)]]
    with only_recorder(trail.path.parent) as alive:
        assert alive.before is None
        alive.live()
        assert answer(trail, at(2), at(5)).missing == []
        with (
            pytest.raises(SockproxyError, match="another records"),
            only_recorder(trail.path.parent),
        ):
            pass
    with only_recorder(trail.path.parent) as alive:
        assert alive.before is not None


def test_what_was_lost_or_changed_is_told(trail):
    write(trail, 1, "recording")
    write(trail, 2, "lost", count=7)
    write(trail, 9, "recording-ended")
    text = trail.path.read_text()
    assert answer(trail, at(1), at(9)).missing == [f"{at(2)}: 7 events were lost"]
    trail.path.write_text(text.replace('"count": 7', '"count": 0'))
    missing, *_ = answer(trail, at(1), at(9)).missing
    assert "line 3 of audit.jsonl: what was written before it was changed" in missing


def test_one_that_records_on_when_the_file_that_it_began_in_is_gone(trail):
    write(trail, 1, "recording")
    trail.path.rename(trail.path.with_name("audit.jsonl.1"))
    write(trail, 3, "recording", goes_on=True)
    skipped(trail, 4)
    write(trail, 9, "recording-ended")
    assert answer(trail, at(1), at(8)).missing == []
    trail.path.with_name("audit.jsonl.1").unlink()
    assert answer(trail, at(3), at(8)).missing[1:] == []  # the first tells what is gone
    assert gaps(answer(trail, at(2), at(8)))[1:] == [[at(2), at(3)]]
    assert answer(trail, at(4), at(8)).missing == []


def test_a_recorder_tells_in_each_new_file_that_it_goes_on(trail):
    recorder = Recorder(trail)
    recorder.begin(None)
    recorder.take([])
    trail.path.rename(trail.path.with_name("audit.jsonl.1"))
    recorder.take([])
    recorder.take([])
    recorder.end()
    found = [(each.says["action"], each.says.get("goes_on", False)) for each in trail.read()]
    assert found == [("recording", False), ("recording", True), ("recording-ended", False)]
    assert all(each.intact for each in trail.read())


def test_damage_of_another_time_does_not_matter(trail):
    write(trail, 1, "recording")
    old = trail.path.with_name("audit.jsonl.1.gz")
    old.write_bytes(b"no gzip")
    os.utime(old, (0, 0))
    assert answer(trail, at(1), at(1)).missing == []
    os.utime(old)
    assert "audit.jsonl.1.gz cannot be read" in answer(trail, at(1), at(1)).missing[0]
