"""A file of lines that names each line before it, and what is found where one was changed."""

from __future__ import annotations

import threading

import pytest

from sockproxy.audit.note import note
from sockproxy.audit.trail import Trail
from sockproxy.errors import SockproxyError


@pytest.fixture
def trail(tmp_path):
    return Trail(tmp_path / "log")


def numbers(trail):
    return [(each.says.get("n"), each.intact) for each in trail.read()]


def test_lines_follow_one_another(trail):
    assert list(trail.read()) == []
    for number in range(3):
        trail.append({"n": number})
    assert numbers(trail) == [(0, True), (1, True), (2, True)]
    assert trail.path.stat().st_mode & 0o777 == 0o600
    assert trail.path.parent.stat().st_mode & 0o777 == 0o700


def test_many_write_at_once(trail):
    def write(first):
        for number in range(first, first + 50):
            trail.append({"n": number})

    threads = [threading.Thread(target=write, args=(50 * each,)) for each in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = numbers(trail)
    assert sorted(number for number, _ in found) == list(range(200))
    assert all(intact for _, intact in found)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda lines: [lines[0], lines[1].replace(": 1}", ": 7}"), *lines[2:]], [3]),
        (lambda lines: [lines[0], *lines[2:]], [2]),
        (lambda lines: lines[1:], [1]),
        (lambda lines: [lines[1], lines[0], *lines[2:]], [1, 2, 3]),
        (lambda lines: [*lines[:2], "{no json", *lines[3:]], [3, 4]),
        (lambda lines: [*lines[:3], lines[3][:20]], [4]),
    ],
)
def test_what_was_changed_is_found(trail, change, broken):
    for number in range(4):
        trail.append({"n": number})
    trail.path.write_text("\n".join(change(trail.path.read_text().splitlines())) + "\n")
    assert [each.number for each in trail.read() if not each.intact] == broken


def test_a_line_that_was_cut_off_is_not_gone_on_with(trail):
    """As when the disk was full, or the machine went down."""
    trail.append({"n": 0})
    with trail.path.open("a") as file:
        file.write('{"after": "')
    trail.append({"n": 2})
    assert numbers(trail) == [(0, True), (None, False), (2, True)]


def test_where_it_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SOCKPROXY_AUDIT", str(tmp_path / "file"))
    with pytest.raises(SockproxyError, match="write"):
        Trail().append({})
    told = []
    note("attached", "web", told.append)
    assert "not noted for 'sockproxy audit'" in told[0]


def test_who_did_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SOCKPROXY_AUDIT", str(tmp_path))
    monkeypatch.setenv("SUDO_USER", "somebody")
    note("attached", "web", pytest.fail, cgroup="/a")
    (entry,) = Trail().read()
    assert entry.says["bypass"] == "web"
    assert entry.says["sudo"] == "somebody"
    assert entry.says["cgroup"] == "/a"
    assert entry.says["user"]


def test_none_is_kept(monkeypatch):
    monkeypatch.setenv("SOCKPROXY_AUDIT", "off")
    Trail().append({})
    assert not Trail().is_kept
