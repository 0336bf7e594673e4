"""What a NAME on the command line means."""

from __future__ import annotations

import errno

from sockproxy.cli import names
from sockproxy.errors import PermissionDenied


def test_bypasses_that_cannot_be_seen_are_not_passed_over_in_silence(monkeypatch, capsys):
    def refuse():
        raise PermissionDenied("read the pins", errno=errno.EACCES, hint="run as root")

    monkeypatch.setattr(names.bypass, "names", refuse)
    monkeypatch.setattr(names, "running", lambda: ["mine"])
    monkeypatch.setattr(names.bypass, "out_of_sight", list)
    assert names.select(None) == (["mine"], [])
    assert "run as root" in capsys.readouterr().err
