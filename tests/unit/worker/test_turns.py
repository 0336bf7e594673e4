"""What moves much waits its turn, so that others need not wait for it."""

from __future__ import annotations

import contextlib
import threading
import types

import pytest

import sockproxy
from sockproxy.worker import turns as turns_module
from sockproxy.worker.direction import Direction
from sockproxy.worker.table import DirectionRow
from sockproxy.worker.traffic import SMALL, Traffic
from sockproxy.worker.turns import PARTS
from tests.support.pattern import Checker, Pattern
from tests.support.sockets import eventually, receive, spliced

# -- a direction --------------------------------------------------------------------------


class Script:
    """A pump that moves as much as it is told, and a pair that keeps what it is asked."""

    def __init__(self):
        self.held = 0
        self.row = DirectionRow()
        self.at_end = False
        self.has_more = False
        self.size, self.more = 1 << 20, True
        self.runs = 0
        self.turns = []
        self.direction = Direction(
            self,
            types.SimpleNamespace(),
            types.SimpleNamespace(),
            self,
            Traffic(eager=False),
            self.row,
            1,
        )
        self.direction.opposite = types.SimpleNamespace(moved=lambda: 0)

    def run(self, rounds):
        self.runs += 1
        self.row.pumped += self.size
        return self.more

    def later(self, seconds, call):
        raise AssertionError("a stream waits for no timer")

    def streams(self):
        pass

    def in_turn(self, call, *, again):
        self.turns.append((call, again))

    def take_turn(self):
        call, again = self.turns.pop()
        call()
        return again


def test_a_stream_shares_by_parts_of_a_turn():
    script = Script()
    script.direction.run_pump()
    assert script.runs == 1
    again = []
    for part in range(2 * PARTS):
        script.direction.run_pump()  # an event: it has its turn already
        assert (script.runs, len(script.turns)) == (1 + part, 1)
        again.append(script.take_turn())
    assert again == [*[True] * (PARTS - 1), False] * 2


def test_a_stream_waits_its_turn_also_after_it_was_blocked():
    script = Script()
    script.more = False
    script.direction.run_pump()
    assert (script.runs, script.turns) == (1, [])
    script.direction.run_pump()
    assert script.runs == 1
    assert script.take_turn() is False
    assert script.runs == 2


def test_a_small_message_does_not_wait():
    script = Script()
    script.size, script.more = SMALL, False
    for _ in range(5):
        script.direction.run_pump()
    assert (script.runs, script.turns) == (5, [])
    script.size = SMALL + 1
    script.direction.run_pump()
    script.direction.run_pump()
    assert script.runs == 6
    script.size = SMALL
    script.take_turn()
    script.direction.run_pump()
    assert (script.runs, script.turns) == (8, [])


def test_nothing_is_moved_in_a_turn_after_the_end():
    script = Script()
    script.direction.run_pump()
    script.close = lambda: None
    script.direction.close()
    script.take_turn()
    assert script.runs == 1


@pytest.mark.parametrize("parts", [1, PARTS])
def test_streams_and_conversations_beside_each_other(monkeypatch, parts):
    """Every byte of all of them, whatever the share of each."""
    monkeypatch.setattr(turns_module, "PARTS", parts)
    size, step = 8 << 20, 1 << 18

    def send(sock, pattern):
        for offset in range(0, size, step):
            sock.sendall(pattern.at(offset, step))

    def stream(source, target, seed):
        writer = threading.Thread(target=send, args=(source, Pattern(seed)))
        writer.start()
        checker = Checker(seed)
        while checker.offset < size:
            checker.feed(target.recv(step))
        writer.join()

    def talk(client, server, seed):
        pattern, asked, answered = Pattern(seed), Checker(seed), Checker(seed)
        for turn in range(300):
            message = pattern.at(asked.offset, 1 + turn * 37)
            client.sendall(message)
            asked.feed(receive(server, len(message)))
            server.sendall(message)
            answered.feed(receive(client, len(message)))

    errors = []

    def run(what, *arguments):
        try:
            what(*arguments)
        except (OSError, AssertionError) as error:
            errors.append(error)

    with sockproxy.Splicer(relay=True) as splicer, contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(spliced(splicer)) for _ in range(6)]
        threads = [
            threading.Thread(target=run, args=(talk if number % 2 else stream, *pair[:2], number))
            for number, pair in enumerate(pairs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        for client, server, splice in pairs:
            client.close()
            assert server.recv(1) == b""
            server.close()
            eventually(splice.done)
