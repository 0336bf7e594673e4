"""What a system's turn waits for, and what must agree at its end."""

from __future__ import annotations

import itertools

import pytest

from sockproxy.bench import subject as module
from sockproxy.bench.peers import find_peers
from sockproxy.bench.subject import Subject
from sockproxy.bench.systems import resolve
from sockproxy.bench.topology import Hop
from sockproxy.bypass.attach import Attached
from sockproxy.cgroup import Cgroup
from sockproxy.errors import SockproxyError

PAYLOAD = 1000


class Passed:
    """A topology through whose rules a connection has gone."""

    def redirect(self, port, hops):
        self.hops = hops

    def redirected(self):
        return [1] * len(self.hops)


class Turn:
    """A turn of a system whose proxies and bypass only say what they are told to say."""

    def __init__(self, monkeypatch, tmp_path, key, names=("near",)):
        self.attached, self.asked = [], 0
        self.seen = lambda: self.attached
        self.why = ""
        self.moved = dict.fromkeys(("short_circuited", "redirected", "pumped"), 0)
        self.skipped = 0
        self.group = Cgroup(tmp_path)
        monkeypatch.setattr(module, "ask", self._ask)
        monkeypatch.setattr(module, "attach", self._attach)
        monkeypatch.setattr(module, "detach", self._detach)
        monkeypatch.setattr(module, "names", lambda: list(self.attached))
        monkeypatch.setattr(module, "bypass_status", lambda _: {"bypassed_bytes": self.skipped})
        monkeypatch.setattr(module, "NOTICED", 0.1)
        hops = [Hop(port) for port, _ in enumerate(names)]
        self.subject = Subject(
            resolve(key, find_peers()), Passed(), 1, self.group, hops, list(names)
        )

    def _ask(self, name, question):
        self.asked += 1
        told = {"short_circuits_in": list(self.seen()), "why_no_short_circuit": self.why}
        return {**told, **self.moved}

    def _attach(self, name, path, options):
        self.attached.append(name)
        return Attached(False, False)

    def _detach(self, name, drain):
        self.attached.remove(name)
        return type("Detached", (), {"drained": True})

    def carried(self, skipped=0, **moved):
        """What the turn says when the proxies have moved this in it, together."""
        with self.subject.switched_on(self.group):
            share = len(self.subject.names)
            self.moved.update({way: each // share for way, each in moved.items()})
            self.skipped = skipped
            return self.subject.carried(PAYLOAD)


@pytest.fixture
def turn(monkeypatch, tmp_path):
    return lambda *arguments: Turn(monkeypatch, tmp_path, *arguments)


def test_what_went_past_the_proxy_is_a_way_of_its_own(turn):
    found = turn("short-circuit").carried(skipped=900, short_circuited=900, redirected=100)
    assert found == {"short_circuited": 900, "redirected": 100, "pumped": 0}


def test_what_did_not_go_past_the_proxy_is_no_error(turn):
    assert turn("short-circuit").carried(pumped=PAYLOAD)["short_circuited"] == 0


def test_each_proxy_of_a_chain_counts_what_goes_past_it(turn):
    chain = turn("short-circuit", ("near", "far"))
    assert chain.carried(skipped=1000, short_circuited=2000)["short_circuited"] == 2000


@pytest.mark.parametrize(
    ("skipped", "moved", "words"),
    [
        (899, {"short_circuited": 900, "pumped": 100}, "899 skipped TCP"),
        (2000, {"short_circuited": 900, "pumped": 99}, "the proxy counted 999"),
    ],
)
def test_counters_that_disagree(turn, skipped, moved, words):
    with pytest.raises(SockproxyError, match=words):
        turn("short-circuit").carried(skipped, **moved)


def test_a_turn_waits_until_the_proxy_has_seen_its_bypass_and_not_the_one_before(turn):
    short = turn("short-circuit")
    before = short.attached[:]
    for _ in range(2):
        looks = itertools.count()
        stale = list(before)
        short.seen = lambda looks=looks, stale=stale: short.attached if next(looks) > 2 else stale
        asked = short.asked
        with short.subject.switched_on(short.group):
            assert short.asked == asked + 5  # the last one counts
            before = short.attached[:]
        assert not short.attached


@pytest.mark.parametrize(
    ("why", "words"), [("no bypass programs", "no bypass programs"), ("", "it has not seen bench-")]
)
def test_a_proxy_that_does_not_short_circuit_fails_its_turn(turn, why, words):
    short = turn("short-circuit")
    short.seen, short.why = list, why
    with pytest.raises(SockproxyError, match=words), short.subject.switched_on(short.group):
        pass
    assert not short.attached


def test_a_bypass_that_could_not_be_detached_fails_the_next_turn(turn):
    short = turn("short-circuit")
    with short.subject.switched_on(short.group):
        with pytest.raises(SockproxyError, match="earlier turn"):
            turn_again = short.subject.switched_on(short.group)
            turn_again.__enter__()
        assert not short.attached  # as the failed turn has ended it


def test_splice_asks_for_no_bypass(turn):
    splice = turn("splice")
    assert splice.carried(redirected=PAYLOAD) == {"redirected": PAYLOAD, "pumped": 0}
    assert not splice.attached
