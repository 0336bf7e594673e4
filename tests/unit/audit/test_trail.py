"""A file of lines that names each line before it, and what is found where one was changed."""

from __future__ import annotations

import contextlib
import gzip
import subprocess
import threading
import time

import pytest

from sockproxy.audit.note import note
from sockproxy.audit.trail import Trail
from sockproxy.errors import SockproxyError
from tests.support.proxy import ROOT


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


def rotate(trail, name, compressed=False):
    """As logrotate does."""
    aside = trail.path.with_name(f"{trail.path.name}{name}")
    trail.path.rename(aside)
    if compressed:
        with gzip.open(f"{aside}.gz", "wb") as file:
            file.write(aside.read_bytes())
        aside.unlink()


def write(trail, *numbers):
    for number in numbers:
        trail.append({"time": f"{number}", "n": number})


@pytest.mark.parametrize("names", [("-20261130", "-20261201"), (".2", ".1")])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_logrotate_puts_aside_is_read_and_gone_on_from(trail, names, compressed):
    write(trail, 1, 2)
    rotate(trail, names[0], compressed)
    write(trail, 3)
    rotate(trail, names[1])
    trail.path.touch()  # as with its option "create"
    write(trail, 4, 5)
    (trail.path.parent / "audit.jsonl.mine").write_text("{}")
    assert numbers(trail) == [(number, True) for number in range(1, 6)]
    aside = next(trail.path.parent.glob(f"*{names[1]}"))
    aside.unlink()
    assert [each.number for each in trail.read() if not each.intact] == [1]


def test_a_file_that_is_being_compressed_is_read_once(trail):
    write(trail, 1, 2)
    rotate(trail, ".1")
    with gzip.open(trail.path.with_name("audit.jsonl.1.gz"), "wb") as file:
        file.write(trail.path.with_name("audit.jsonl.1").read_bytes())
    write(trail, 3)
    assert numbers(trail) == [(1, True), (2, True), (3, True)]


@pytest.mark.parametrize("left", [0, 5, 20, -9])
def test_a_damaged_file_is_told_and_the_rest_read(trail, left):
    """As a machine that went down while logrotate compressed leaves it."""
    write(trail, 1)
    rotate(trail, ".2", compressed=True)
    write(trail, 2)
    rotate(trail, ".1", compressed=True)
    for name in (".2", ".1"):
        packed = trail.path.with_name(f"audit.jsonl{name}.gz")
        packed.write_bytes(packed.read_bytes()[:left])
    write(trail, 3, 4)
    found = list(trail.read())
    assert [each.says.get("n") for each in found if not each.unreadable][-2:] == [3, 4]
    assert found[-1].intact
    if left:  # an empty file is one
        assert sum(bool(each.unreadable) for each in found) == 2


def test_a_line_that_goes_deep_is_one_that_cannot_be_read(trail):
    write(trail, 1)
    with trail.path.open("a") as file:
        file.write("[" * 100_000 + "\n")
    assert [each.says.get("n") for each in trail.read()] == [1, None]


def test_a_clock_that_went_back_changes_no_order(trail):
    write(trail, 5, 6)
    rotate(trail, ".2")
    write(trail, 1, 2)
    rotate(trail, ".1")
    write(trail, 3)
    assert [(each.says["n"], each.intact) for each in trail.read()] == [
        (number, True) for number in (5, 6, 1, 2, 3)
    ]


def test_what_is_put_aside_while_it_is_read(trail):
    """All is read, and once."""
    stop = threading.Event()

    def keep_rotating():
        for number in range(200, 0, -1):
            if stop.is_set():
                return
            rotate(trail, f".{number}")
            trail.append({"n": -number})

    write(trail, 0)
    thread = threading.Thread(target=keep_rotating)
    thread.start()
    try:
        for _ in range(20):
            found = [each.says["n"] for each in trail.read()]
            assert len(found) == len(set(found))
            assert found[0] == 0
    finally:
        stop.set()
        thread.join()


def test_many_write_while_it_is_put_aside(trail):
    def write_some(first):
        for number in range(first, first + 100):
            trail.append({"n": number})

    threads = [threading.Thread(target=write_some, args=(100 * each,)) for each in range(3)]
    for each in threads:
        each.start()
    for number in range(9, 0, -1):
        with contextlib.suppress(FileNotFoundError):  # nobody has written since
            rotate(trail, f".{number}")
        time.sleep(0.005)
    for each in threads:
        each.join()
    found = numbers(trail)
    assert sorted(number for number, _ in found) == list(range(300))
    assert all(intact for _, intact in found)


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


@pytest.mark.tools("logrotate")
def test_logrotate_itself(trail, tmp_path):
    """As the package has it, twice: what it compresses is read as before."""
    config = (ROOT / "cgroup/sockproxy.logrotate").read_text()
    path = tmp_path / "logrotate"
    path.write_text(config.replace("/var/log/sockproxy/audit.jsonl", str(trail.path)))
    path.chmod(0o600)
    for number in range(3):
        write(trail, 2 * number, 2 * number + 1)
        argv = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(path)]
        subprocess.run(argv, check=True, capture_output=True)
    write(trail, 6)
    names = {each.name for each in trail.path.parent.glob("audit.jsonl*")}
    assert {"audit.jsonl", "audit.jsonl.1", "audit.jsonl.2.gz"} <= names
    assert numbers(trail) == [(number, True) for number in range(7)]
