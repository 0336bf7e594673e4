"""What is done with the pins of a NAME whose lock is held, in a directory that is no bpffs."""

from __future__ import annotations

import os

import pytest

from sockproxy.errors import KernelError, UsageError
from sockproxy.rundir import pins
from sockproxy.rundir.folder import open_folder
from sockproxy.rundir.locks import give_back, is_held, take_lock
from sockproxy.rundir.sight import check_name


@pytest.fixture
def place(tmp_path):
    """A directory of ours alone that stands for one on a bpffs."""
    tmp_path.chmod(0o700)
    with open_folder(tmp_path) as folder:
        yield folder


def test_a_name_is_there_as_a_whole_or_not_at_all(place):
    held = pins.Held("one", place, False)
    aside = held.make()
    for each in ("link", "settings"):
        (aside / each).touch()
    assert place.names() == ["~one"]
    held.publish()
    assert place.names() == ["one"]
    with held.open() as folder:
        assert folder.names() == ["link", "settings"]
    held.remove()
    assert place.names() == []


def test_what_was_begun_is_taken_back(place):
    held = pins.Held("one", place, False)
    (held.make() / "settings").touch()
    for _ in range(2):
        held.unpin("settings")
    for _ in range(2):
        held.discard()
    assert place.names() == []
    held.unpin("settings")


def test_what_fails_is_told_by_the_path_that_people_know(place):
    held = pins.Held("one", place, False)
    with pytest.raises(KernelError, match=f"make {place.path}/one: No such file"):
        held.publish()
    held.make()
    with pytest.raises(KernelError, match=f"make {place.path}/~one: File exists"):
        held.make()
    held.discard()


def test_who_waits_for_a_lock_is_told_for_whom(place, monkeypatch):
    monkeypatch.setattr("sockproxy.rundir.locks.PATIENCE", 0.0)
    lock = take_lock("one", place, None)
    assert is_held("one", place)
    assert take_lock("one", place, None) is None
    told = []

    def tell(line):
        told.append(line)
        give_back("one", place, lock)

    give_back("one", place, take_lock("one", place, tell))
    assert told == [f"waiting for process {os.getpid()} to finish with one"]
    assert not is_held("one", place)
    assert place.names() == []


@pytest.mark.parametrize("name", ["", ".", "a.b", "a/b", "-a", "x" * 65, "~a", "+a"])
def test_names_that_are_none(name):
    with pytest.raises(UsageError) as caught:
        check_name(name)
    assert len(str(caught.value)) < 200
