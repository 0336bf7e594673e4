"""What happens often is told seldom, and counted."""

from __future__ import annotations

import logging

from sockproxy.proxy import seldom


def test_one_line_a_minute_and_how_many_were_left_out(monkeypatch, caplog):
    now = 0.0
    monkeypatch.setattr(seldom.time, "monotonic", lambda: now)
    caplog.set_level(logging.INFO)
    told = seldom.Seldom(logging.getLogger("sockproxy.proxy"), counts=True)
    for moment in (0.0, 1.0, 59.0, 60.0, 61.0, 200.0):
        now = moment
        told.say(f"at {moment:g}".strip)
    assert caplog.messages == [
        "at 0",
        "at 60 (2 more since the last such line)",
        "at 200 (1 more since the last such line)",
    ]
