"""`sockproxy events`: all that happens to sockets is told, once, or counted as lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections import Counter

import pytest

from sockproxy.bpf import events as bpf_events
from sockproxy.bpf import slot
from sockproxy.bpf.abi import Event, Plain
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.events import Lost, Watch
from sockproxy.bypass.options import BypassOptions
from sockproxy.errors import SockproxyError
from sockproxy.net.rules import parse_rule
from sockproxy.rundir import pins
from tests.support.bypass import NAME, converse, sockproxy, status
from tests.support.commands import begun
from tests.support.scale import patience, scaled
from tests.support.schema import check_document
from tests.support.sockets import receive, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(120)]

OTHER = f"{NAME}-2"
SIZE = 1 << 20
DENY_ALL = [parse_rule("1-65535", deny=True)]


@contextlib.contextmanager
def watching(names=(NAME,), size=SIZE):
    remarks = []
    watch = Watch(names, size, pytest.fail, remarks.append)
    try:
        yield watch
    finally:
        watch.close()
    assert remarks == []


def kinds(told):
    return [each.event.kind for each in told]


def talk(size=10):
    """A connection on which both ways are bypassed, and then a stream's worth by TCP."""
    with contextlib.ExitStack() as stack:
        one, other = (stack.enter_context(each) for each in tcp_pair())
        converse(one, other, size=size)


def test_the_life_of_a_connection(bypassed):
    with watching() as watch:
        one, other = tcp_pair()
        ends = one.getsockname(), other.getsockname()
        with one, other:
            converse(one, other)
            one.sendall(b"." * 300_000)  # more than the reader was seen to read: by TCP
            receive(other, 300_000)
        told = list(watch.take())
    assert {each.name for each in told} == {NAME}
    by_cookie = {}
    for each in told:
        by_cookie.setdefault(each.event.cookie, []).append(each.event)
    opener, accepter = by_cookie.values()
    assert [each.kind for each in opener] == [
        Event.ENROLLED,
        Event.BEGAN,
        Event.FELL_BACK,
        Event.CLOSED,
    ]
    assert [each.kind for each in accepter] == [Event.PAIRED, Event.BEGAN, Event.CLOSED]
    for mine, its, (local, remote) in ((opener, accepter, ends), (accepter, opener, ends[::-1])):
        assert all((each.local, each.remote) == (local, remote) for each in mine)
        assert all(each.peer == its[0].cookie for each in mine[1:])
        assert mine[1].process == os.getpid()
        assert mine[1].program
        assert [each.when for each in mine] == sorted(each.when for each in mine)
        assert abs(mine[-1].when - time.monotonic()) < patience(10)
    end = opener[-1]
    assert end.bypassed_bytes + end.passed_bytes == 300_008
    assert end.bytes_sent == end.passed_bytes


def test_they_add_up(bypassed):
    """With what `status` counts, whatever becomes of the connections; and as two see them."""
    with watching() as watch, watching() as second:
        for _ in range(scaled(100, 10)):
            talk()
        with socket.create_server(("127.0.0.1", 0)) as server:
            for _ in range(scaled(100, 10)):  # without gain: they are left out in the end
                client = socket.create_connection(server.getsockname())
                with client, server.accept()[0] as other:
                    client.shutdown(socket.SHUT_WR)
                    other.shutdown(socket.SHUT_WR)
        told, also = list(watch.take()), list(second.take())
    assert [each.event for each in told] == [each.event for each in also]
    counted, totals = Counter(kinds(told)), status()
    assert counted[Event.ENROLLED] + counted[Event.PAIRED] == totals["enrolled"]
    assert counted[Event.PAIRED] == totals["paired"]
    assert counted[Event.LEFT_OUT] == totals["no_gain"] > 0
    assert counted[Event.CLOSED] == totals["closed"]
    closed = [each.event for each in told if each.event.kind is Event.CLOSED]
    for name in ("bypassed_bytes", "bypassed_messages", "passed_bytes", "passed_messages"):
        assert sum(getattr(each, name) for each in closed) == totals[name]
    assert counted[Event.BEGAN] == sum(each.bypassed_messages > 0 for each in closed) > 0


def test_what_finds_no_room_is_counted(bypassed):
    with watching() as watch, watching(size=4096) as small:
        for _ in range(scaled(100, 20)):
            talk()
        all_of_it = sum(1 for _ in watch.take())
        told = list(small.take())
        lost = [each.count for each in told if isinstance(each, Lost)]
        assert len(lost) == 1
        assert len(told) - 1 + lost[0] == all_of_it
        talk()
        again = list(small.take())
        assert not any(isinstance(each, Lost) for each in again)
        assert Event.CLOSED in kinds(again)


def test_what_is_lost_while_it_is_counted_is_counted(bypassed, monkeypatch):
    grows = iter(range(0, 1000, 7))
    monkeypatch.setattr(bpf_events.Listener, "lost", property(lambda _: next(grows)))
    with watching() as watch:
        told = [each for _ in range(4) for each in watch.take()]
        last = next(grows) - 7
    assert sum(each.count for each in told) == last


def test_in_portions_and_then_all(bypassed, monkeypatch):
    """One that is slower than the kernel shows what it can, keeps its place, and can be ended."""
    monkeypatch.setattr(slot, "PORTION", 4)
    with watching() as watch:
        for _ in range(4):
            talk()
        before = watch._listeners[NAME]._all.until[0]
        portions = [kinds(watch.take()), kinds(watch.take())]
        rest = kinds(watch.take(everything=True))
        assert watch._listeners[NAME]._all.until[0] > before
    assert [len(each) for each in portions] == [4, 4]
    assert (portions[0] + portions[1] + rest).count(Event.CLOSED) == 8


def test_the_last_of_one_that_is_detached(group, monkeypatch):
    options = BypassOptions(force=True, blocking_readers=True, any_reader=True)
    attach(NAME, group.path, options)
    monkeypatch.setattr(slot, "PORTION", 2)
    with watching() as watch:
        for _ in range(4):
            talk()
        assert detach(NAME, 10).drained
        watch._looked = 0.0
        assert kinds(watch.take()).count(Event.CLOSED) == 8
        assert watch.names == ()


def test_why_one_stays_plain(bypassed):
    with watching() as watch:
        attach(NAME, bypassed.path, BypassOptions(rules=DENY_ALL))
        list(watch.take())  # attach has a connection of its own
        talk()
        told = list(watch.take())
    assert [each.event.plain for each in told] == [Plain.POLICY] * len(told)
    assert kinds(told) == [Event.ENROLLED, Event.ENROLLED, Event.CLOSED, Event.CLOSED]


def test_places_are_few_and_come_back(bypassed, monkeypatch):
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(watching()) for _ in range(bpf_events.MOST)]
        with pytest.raises(SockproxyError, match="4 listen already"), watching():
            pass
        many[1].close()
        with watching() as watch:
            talk()
            assert Event.CLOSED in kinds(watch.take())
    # One that was killed leaves its place when its time is over.
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(watching()) for _ in range(bpf_events.MOST)]
        listener = many[2]._listeners[NAME]
        listener._all.until[2] = time.monotonic_ns()
        with watching() as watch:
            talk()
            assert Event.CLOSED in kinds(watch.take())
        with pytest.raises(SockproxyError, match="is not known"):
            list(many[2].take())


def test_nobody_listens_any_more(bypassed):
    """Then nothing is looked at but one word."""
    with watching() as one:
        listeners = one._listeners[NAME]._all
        with watching():
            assert listeners.any == 1
        assert listeners.any == 1
        one.close()
        with watching() as other:
            assert other._listeners[NAME]._all.any == 1
        with watching() as last:
            view = last._listeners[NAME]._view
            last.close()
            assert (view[0].any, list(view[0].until)) == (0, [0] * (bpf_events.MOST + 1))


def events(*arguments, name=NAME):
    """`sockproxy events`, which listens when this begins; its process."""
    return begun("listening to", "events", *([name] if name else []), *arguments)


def test_command(bypassed):
    with events("--json") as process:
        talk()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=patience(20))
    assert process.returncode == 0
    lines = [check_document(line) for line in out.splitlines()]
    assert Counter(each["event"] for each in lines) == {
        "enrolled": 1,
        "paired": 1,
        "began": 2,
        "closed": 2,
    }
    assert f"{len(lines)} events" in err.decode()
    assert all(each["cgroup"] == str(bypassed.path) for each in lines)


def test_command_chooses(bypassed):
    with events("--only", "closed", "--filter", "opener") as process:
        talk()
        time.sleep(0.2)
        process.terminate()
        out, _ = process.communicate(timeout=patience(20))
    assert process.returncode == 0
    (line,) = out.splitlines()
    assert b"past TCP" in line


def test_it_ends_with_what_it_listens_to(group):
    attach(NAME, group.path, BypassOptions(force=True))
    with events() as process:
        assert detach(NAME, 10).drained
        _, err = process.communicate(timeout=patience(20))
    assert process.returncode == 0
    assert b"0 events" in err


def test_it_follows_those_that_come(group):
    with events("--json", name=None) as process:
        attach(NAME, group.path, BypassOptions(force=True, blocking_readers=True, any_reader=True))
        try:
            time.sleep(patience(2.5))
            talk()
            time.sleep(0.2)
            process.terminate()
            out, _ = process.communicate(timeout=patience(20))
        finally:
            assert detach(NAME, 10).drained
    ours = [each for each in map(json.loads, out.splitlines()) if each["bypass"] == NAME]
    assert [each["event"] for each in ours][-1] == "closed"


def test_one_that_was_attached_before_events_were_told(bypassed):
    with pins.open_pins(NAME) as folder:
        (folder.at() / "rings").unlink()
    said = sockproxy("events", NAME, code=2)
    assert "attach it anew" in said


def test_names_that_cannot_be_listened_to():
    assert "no bypass named" in sockproxy("events", "nobody-has-it", code=2)
    assert "name" in sockproxy("events", "a/b", code=2)
    assert "Invalid value for '--only'" in sockproxy("events", "--only", "x", code=2)
