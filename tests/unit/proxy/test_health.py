"""Up and down by checks, and what follows, at a time that the test says."""

from __future__ import annotations

import socket

import pytest

from sockproxy.net.address import Address, Host
from sockproxy.proxy import health, member, upstreams
from sockproxy.proxy.check import Way
from sockproxy.proxy.health import Checks
from sockproxy.proxy.pool import Health, Pool, Upstream
from sockproxy.proxy.upstreams import Upstreams
from tests.support.fake_loop import FakeLoop
from tests.support.logs import Lines

A, B, C = (Address(socket.AF_INET, f"10.0.0.{number}", 80) for number in (1, 2, 3))
HOW = Health(interval=2.0, timeout=1.0, rise=2, fall=3)


@pytest.fixture
def found(monkeypatch):
    """What checks find, by address: "" for nothing wrong; and how many there were."""

    class ScriptedCheck:
        def __init__(self, loop, address, how, way, done):
            self._address, self._done = address, done

        def begin(self):
            script.count[self._address] = script.count.get(self._address, 0) + 1
            self._done(script.get(self._address, ""))

        def cancel(self):
            pass

    class Script(dict):
        count: dict

    script = Script()
    script.count = {}
    monkeypatch.setattr(health, "Check", ScriptedCheck)
    return script


@pytest.fixture
def lines():
    log = Lines("sockproxy")
    yield log.lines
    log.close()


class FakeService:
    """What the worker would be told."""

    def __init__(self):
        self.targets, self.answered, self.fails = [], [], False

    def set_targets(self, targets):
        if self.fails:
            raise OSError(12, "no memory")
        self.targets = list(targets)

    def has_answered(self, address):
        self.answered.append(address)

    def try_once(self, address, done):
        done(0)
        return lambda: None

    @property
    def down(self):
        return [each.address for each in self.targets if each.down]

    @property
    def shares(self):
        return [each.share for each in self.targets]


def of(address, **terms):
    return Upstream(Host(address.host, address.port, (address,)), **terms)


@pytest.fixture
def loop(monkeypatch):
    made = FakeLoop()
    for module in (member, upstreams):
        monkeypatch.setattr(module, "monotonic", lambda: made.now)
    return made


def opened(loop, *members, how=HOW, **pool):
    made, service = Upstreams(Pool(members, how, **pool), "web"), FakeService()
    made.open(loop, service)
    made.begin()
    return made, service


# -- the counting ----------------------------------------------------------------------------


def checks_of(loop, changes, how=HOW):
    made = Checks(A, how, Way(), lambda: changes.append(made.up))
    made.begin(loop)
    return made


def test_down_after_fall_and_up_after_rise(loop, found):
    changes = []
    checks = checks_of(loop, changes)
    loop.pass_time(5)
    assert found.count[A] >= 2
    found[A] = "connection refused"
    for _ in range(2):
        loop.pass_time(loop.waits[0])
    assert (checks.up, changes) == (True, [])
    loop.pass_time(loop.waits[0])
    assert (checks.up, changes, checks.why) == (False, [False], "connection refused")
    found[A] = ""
    loop.pass_time(loop.waits[0])
    assert not checks.up
    found[A] = "no answer in 1 s"  # in a row: it begins anew
    loop.pass_time(loop.waits[0])
    assert checks.why == "no answer in 1 s"
    found[A] = ""
    loop.pass_time(loop.waits[0])
    assert not checks.up
    loop.pass_time(loop.waits[0])
    assert (checks.up, changes) == (True, [False, True])


def test_one_whose_first_check_fails_is_down_at_once(loop, found):
    changes = []
    found[A] = "connection refused"
    checks_of(loop, changes)
    loop.pass_time(HOW.interval * health.JITTER)
    assert (changes, found.count[A]) == ([False], 1)


def test_what_could_not_be_found_out_counts_for_nothing(loop, found):
    changes = []
    checks = checks_of(loop, changes)
    loop.pass_time(1)
    found[A] = None
    loop.pass_time(100)
    assert found.count[A] > 40
    assert (checks.up, changes) == (True, [])
    found[A] = "connection refused"
    loop.pass_time(3.5)  # two of them at most
    assert checks.up  # it was known before


def test_they_do_not_run_in_step(loop, found):
    many = [checks_of(loop, []) for _ in range(50)]
    loop.pass_time(1000)
    waits = loop.waits
    assert len(waits) == len(many)
    assert all(0 <= each <= 2.2 for each in waits)
    assert max(waits) - min(waits) > 1
    assert 1000 / 2.2 * 50 <= found.count[A] <= 1000 / 1.8 * 50 + 50


def test_other_rules_keep_what_was_found(loop, found):
    changes = []
    found[A] = "connection refused"
    checks = checks_of(loop, changes)
    loop.pass_time(1)
    checks.change(Health(interval=100.0, rise=1))
    assert not checks.up
    loop.pass_time(10)
    assert not checks.up
    assert loop.waits[0] > 80
    found[A] = ""
    loop.pass_time(120)  # an interval, give or take a tenth, from some moment of the first tenth on
    assert changes == [False, True]
    checks.cancel()
    checks.cancel()
    assert loop.waits == []


# -- what follows ----------------------------------------------------------------------------


def test_one_that_is_down_is_told_and_has_no_clients(loop, found, lines):
    found[B] = "connection refused"
    made, service = opened(loop, of(A), of(B))
    loop.pass_time(1)
    assert service.down == [B]
    assert lines == ["upstream 10.0.0.2:80 of web is down: connection refused"]
    found[B] = ""
    loop.pass_time(5)
    assert service.down == []
    assert lines[1:] == ["upstream 10.0.0.2:80 of web is up again"]
    made.close()
    assert loop.waits == []


def test_a_change_has_fields_for_those_who_read_json(loop, found, caplog):
    caplog.set_level("INFO", "sockproxy")
    found[B] = "connection refused"
    opened(loop, of(A), of(B))
    loop.pass_time(1)
    found[B] = ""
    loop.pass_time(5)
    usual = {"event": "upstream", "service": "web", "upstream": "10.0.0.2:80"}
    assert [(each.levelname, each.fields) for each in caplog.records] == [
        ("WARNING", {**usual, "state": "down", "why": "connection refused"}),
        ("INFO", {**usual, "state": "up", "why": ""}),
    ]


def test_when_all_are_down_that_is_said_once(loop, found, lines):
    found.update({A: "connection refused", B: "no connection in 1 s"})
    _, service = opened(loop, of(A), of(B), of(C, weight=0))
    loop.pass_time(100)
    assert service.down == [A, B]
    said = [line for line in lines if "all the same" in line]
    assert said == ["all upstreams of web are down: they are tried all the same"]
    found[A] = ""
    loop.pass_time(5)
    found[A] = "connection refused"
    loop.pass_time(10)
    assert len([line for line in lines if "all the same" in line]) == 2


def test_a_slow_start_rises_in_a_line(loop, found):
    found[B] = "connection refused"
    _, service = opened(loop, of(A, weight=4), of(B, weight=2), slow_start=32.0)
    loop.pass_time(1)
    assert service.shares == [1024, 512]  # at the start nobody rises
    found[B] = ""
    while service.down:
        loop.pass_time(0.01)
    assert service.shares == [1024, 1]
    for second in range(1, 32):
        loop.pass_time(1)
        assert service.shares[0] == 1024
        assert abs(service.shares[1] - second * 16) <= 17
    loop.pass_time(2)
    assert service.shares == [1024, 512]
    assert len(loop.waits) == 2  # of the two checks


def test_one_that_was_silent_rises_as_well(loop, lines):
    made, service = opened(loop, of(A), of(B), how=None, slow_start=10.0)
    made.fell_silent(B)
    loop.pass_time(1.01)
    assert service.answered == [B]
    assert service.shares == [256, 1]
    assert any("answers again" in line for line in lines)
    loop.pass_time(11)
    assert service.shares == [256, 256]
    assert loop.waits == []


def test_a_weight_that_changes_keeps_the_state(loop, found):
    found[B] = "connection refused"
    made, service = opened(loop, of(A), of(B))
    loop.pass_time(1)
    checks = found.count[B]
    made.change(Pool((of(B, weight=7, most=3), of(C, weight=0)), HOW))
    assert [(each.address, each.share, each.most, each.down) for each in service.targets] == [
        (B, 1792, 3, True), (C, 0, 0, False),
    ]  # fmt: skip
    loop.pass_time(10)
    assert found.count[B] > checks
    before = found.count[A]
    loop.pass_time(10)
    assert found.count[A] == before  # it is none any more
    made.change(Pool((of(B),), None))
    assert service.down == []
    assert loop.waits == []


def test_what_cannot_be_told_changes_nothing(loop, found):
    made, service = opened(loop, of(A), of(B))
    loop.pass_time(1)
    service.fails = True
    with pytest.raises(OSError, match="no memory"):
        made.change(Pool((of(C),), None))
    found[B] = "connection refused"
    loop.pass_time(10)  # it is down, and nobody can be told now
    assert [each.address for each in service.targets] == [A, B]
    service.fails = False
    loop.pass_time(2)
    assert service.down == [B]


def test_another_service_goes_on_from_what_was_found(loop, found, lines):
    found[B] = "connection refused"
    made, _ = opened(loop, of(A), of(B))
    loop.pass_time(1)
    other, service = Upstreams(Pool((of(B), of(C)), HOW), "web"), FakeService()
    other.go_on_from(made)
    other.open(loop, service)
    assert service.down == [B]
    made.close()
    other.begin()
    before = len(lines)
    loop.pass_time(1)
    assert service.down == [B]
    assert len(lines) == before  # it is no news
    found[B] = ""
    loop.pass_time(5)
    assert service.down == []
    other.close()
    assert loop.waits == []
