"""Rows of live connections, their rates, and the screen that shows them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sockproxy.top.rows import SORTS, Meter, bypass_rows, proxy_rows
from sockproxy.top.screen import View, draw


def way(state="pump", why="", redirected=0, pumped=0, past=0):
    return {"state": state, "why": why, "redirected": redirected, "pumped": pumped,
            "short_circuited": past}  # fmt: skip


def pair(number, forward, backward, **more):
    return {"number": number, "service": "", "client": ["10.0.0.9", 1000 + number],
            "upstream": ["2001:db8:1111:2222:3333:4444:5555:6666", 65535], "age": 10.0 - number,
            "forward": forward, "backward": backward, "why_not_short_circuited": "",
            **more}  # fmt: skip


def of_proxy(*pairs):
    return list(proxy_rows({"name": "web", "connections": list(pairs)}))


def socket_of(cookie, role, peer, sent, bypassed):
    return {"cookie": cookie, "peer": peer, "role": role, "local": ["127.0.0.1", cookie],
            "remote": ["127.0.0.1", 80], "age": 1.0, "state": "bypassing", "why": "",
            "bytes_sent": sent, "bytes_received": 7, "bypassed_bytes": bypassed}  # fmt: skip


def shown(view, rows, silent=(), width=80, height=None):
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=False).print(
        draw(view, rows, silent, width, height)
    )
    return file.getvalue().splitlines()


def test_rates_are_of_the_time_between_two_looks():
    meter = Meter()
    meter.measure(of_proxy(pair(1, way(pumped=1000), way())), 10.0)
    (row, new) = meter.measure(
        of_proxy(pair(1, way(pumped=1000, redirected=4000), way(past=1000)), pair(2, way(), way())),
        12.0,
    )
    assert (row.out_rate, row.back_rate, row.rate) == (2000.0, 500.0, 2500.0)
    assert row.now == "kernel"  # who moved most of it
    assert (new.rate, new.now) == (0.0, "relay")
    (still,) = meter.measure(of_proxy(pair(1, way("redirect"), way())), 13.0)
    assert (still.rate, still.now) == (0.0, "kernel")


def test_a_connection_of_a_bypass_is_one_row():
    rows = bypass_rows(
        {
            "name": "mesh",
            "connections": [
                socket_of(1, "opener", 2, 100, 90),
                socket_of(2, "accepter", 1, 200, 200),
                socket_of(3, "accepter", 9, 50, 0),  # the other end is not enrolled
            ],
        }
    )
    assert [(row.key[1], row.out, row.back) for row in rows] == [(1, 100, 7), (3, 50, 7)]


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("why", [False, True])
def test_lines_are_never_wider_than_the_terminal(width, why):
    rows = of_proxy(*(pair(n, way(why="it streams" * 9, pumped=10**n), way()) for n in range(8)))
    lines = shown(View(why=why), rows, ["web: " + "does not answer " * 20], width, 10)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 10
    assert "10.0.0.9:100" in lines[-1]


def test_the_order_and_what_fits_the_filter():
    rows = of_proxy(pair(1, way(pumped=10), way()), pair(2, way(pumped=30), way("redirect")))
    numbers = {sort: [row.key[1] for row in View(sort).shown(rows)] for sort in SORTS}
    assert numbers == {"rate": [2, 1], "age": [1, 2], "bytes": [2, 1], "name": [1, 2]}
    assert [row.key[1] for row in View(filter="KERNEL").shown(rows)] == [2]
    assert [row.key[1] for row in View(filter=":1001").shown(rows)] == [1]
    assert "1 of 2 connections" in shown(View(filter=":1001"), rows)[0]


def test_nothing_that_a_terminal_would_obey_is_shown():
    rows = of_proxy(pair(1, way(why="\x1b[31mred [bold]"), way(), service="\x1b]0;x\x07"))
    text = "\n".join(shown(View(why=True), rows, ["\x1b[2J"], 200))
    assert "\x1b" not in text
    assert "[bold]" in text
