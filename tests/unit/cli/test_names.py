"""What a NAME on the command line means."""

from __future__ import annotations

import errno

import pytest

from sockproxy.cli import names
from sockproxy.errors import PermissionDenied, SockproxyError
from sockproxy.rundir.sight import Seen


@pytest.fixture
def bypasses(monkeypatch):
    """A function: from now on these are attached, and nothing that only others see."""

    def attached(*called):
        monkeypatch.setattr(names.sight, "seen", lambda: Seen(list(called), []))

    monkeypatch.setattr(names.sight, "out_of_sight", list)
    monkeypatch.setattr(names.sight, "find_elsewhere", lambda name: "")
    return attached


def test_bypasses_that_cannot_be_seen_are_not_passed_over_in_silence(monkeypatch, bypasses, capsys):
    def refuse():
        raise PermissionDenied("read the pins", errno=errno.EACCES, hint="run as root")

    monkeypatch.setattr(names.sight, "seen", refuse)
    monkeypatch.setattr(names, "running", lambda: ["mine"])
    assert names.select(None) == (["mine"], [])
    assert "run as root" in capsys.readouterr().err


def test_a_proxy_and_a_bypass_of_one_name_are_both_meant(monkeypatch, bypasses):
    bypasses("both", "other")
    monkeypatch.setattr(names, "is_running", lambda name: name == "both")
    monkeypatch.setattr(names, "running", lambda: ["both"])
    assert names.select("both") == (["both"], ["both"])
    assert names.select("other") == ([], ["other"])
    assert names.select(None) == (["both"], ["both", "other"])


def test_what_both_tell_is_shown(monkeypatch, bypasses):
    bypasses("both")
    monkeypatch.setattr(names, "is_running", lambda name: True)
    monkeypatch.setattr(
        names, "ask_all", lambda asked, *_: {each: {"name": each} for each in asked}
    )
    told, seen, silent = names.gather("both", "status", lambda name: {"name": name, "mode": "x"})
    assert (told, seen, silent) == ([{"name": "both"}], [{"name": "both", "mode": "x"}], [])


def test_a_proxy_that_cannot_be_looked_for_is_not_hidden_by_its_bypass(
    monkeypatch, bypasses, tmp_path, capsys
):
    """Its directory belongs to others: as without a NAME, this is said."""
    bypasses("both")
    root = tmp_path / "sockproxy"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    monkeypatch.setattr("sockproxy.rundir.proxies.runtime_root", lambda: root)
    for name in (None, "both"):
        assert names.select(name) == ([], ["both"])
        assert "proxies are not shown: use" in capsys.readouterr().err


def test_what_nothing_is_called(monkeypatch, bypasses):
    bypasses("other")
    monkeypatch.setattr(names, "is_running", lambda name: False)
    with pytest.raises(SockproxyError, match="nothing named none is running"):
        names.select("none")
