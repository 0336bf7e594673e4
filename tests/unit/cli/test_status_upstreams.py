"""How `sockproxy status` shows upstreams."""

from __future__ import annotations

from sockproxy.cli.status_upstreams import show_upstreams


def upstream(address, state="up", **others):
    usual = {"why": "", "weight": 1, "weight_now": 1.0, "max_connections": None}
    return {"address": address, "state": state, "clients": 2, "chosen": 9, **usual, **others}


def proxy(*upstreams, name="", waiting=0, routed=()):
    service = {"name": name, "upstreams": list(upstreams), "waiting": waiting, "routed": routed}
    return {"name": "edge", "services": [service]}


def test_one_that_is_up_is_not_worth_a_line(capsys):
    show_upstreams([proxy(upstream("10.0.0.1:80")), proxy()])
    assert capsys.readouterr().out == ""


def test_how_each_stands(capsys):
    show_upstreams([proxy(
        upstream("10.0.0.1:80", weight=4, weight_now=1.5),
        upstream("10.0.0.2:80", "down", why="connection refused"),
        upstream("10.0.0.3:80", "full", max_connections=2, why="it has the 2 clients"),
        name="web", waiting=3,
    )])  # fmt: skip
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "PROXY UPSTREAM STATE WEIGHT CLIENTS CHOSEN WHY",
        "edge/web 10.0.0.1:80 up 1.5 of 4 2 9",
        "edge/web 10.0.0.2:80 down 1 2 9 connection refused",
        "edge/web 10.0.0.3:80 full 1 2 of 2 9 it has the 2 clients",
        "edge/web: 3 clients wait for a place at an upstream",
    ]


def test_when_all_are_down(capsys):
    show_upstreams([proxy(upstream("10.0.0.1:80", "down"), upstream("b", "draining", weight=0))])
    assert "edge: all upstreams are down: they are tried all the same" in capsys.readouterr().out


def test_routes_have_their_own(capsys):
    route = {"upstreams": [upstream("c", "down")],
             "waiting": 0}  # fmt: skip
    show_upstreams([proxy(upstream("b"), name="web", routed=[route])])
    out = capsys.readouterr().out
    assert "edge/web route  c         down" in out
    assert "edge/web route: all upstreams are down" in out
