"""The table of connections: read by any thread, while the loop writes it, and each counted once."""

from __future__ import annotations

import threading
import types

from sockproxy.worker.door import Limits
from sockproxy.worker.engine import Engine
from sockproxy.worker.table import Phase, Row, State, Table
from tests.support.fake_kernel import FIELDS
from tests.support.sockets import eventually, receive, tcp_pair

ENDS = (("127.0.0.1", 1), ("127.0.0.1", 2))


def row(number):
    return Row(number, ENDS, ENDS)


def test_a_connection_is_counted_once_before_and_after_its_end():
    table = Table()
    one, other = row(1), row(2)
    for each in (one, other):
        table.add(each)
        each.forward.pumped, each.backward.discarded = 10, 3
    table.end(one, "finished")
    reading = table.read()
    assert [stats.number for stats in reading.live] == [2]
    assert (reading.ended.pairs, reading.ended.reset) == (1, 0)
    assert (reading.ended.pumped, reading.ended.dropped) == (10, 3)
    table.end(other, "reset by peer (client)")
    reading = table.read()
    assert not reading.live
    assert (reading.ended.pairs, reading.ended.reset) == (2, 1)
    assert (reading.ended.pumped, reading.ended.dropped) == (20, 6)


def test_the_last_counters_stay_when_the_slot_is_anothers():
    table, ended = Table(), row(1)
    table.add(ended)
    shared = types.SimpleNamespace(**dict.fromkeys(FIELDS, 0))
    shared.redirected_bytes = 1000
    ended.forward.shared = shared
    ended.forward.phase = Phase(State.REDIRECT, "")
    assert table.end(ended, "finished").forward.redirected == 1000
    shared.redirected_bytes = 7
    ended.forward.phase = Phase(State.FINISHED, "")
    last = ended.stats()
    assert (last.forward.redirected, last.forward.state) == (1000, "redirect")
    assert last.outcome == "finished"


def test_sums_are_right_whenever_they_are_read():
    """Connections end while others read: none is counted twice, and none is missed."""
    table, count = Table(), 300
    rows = [row(number) for number in range(count)]
    for each in rows:
        table.add(each)
        each.forward.pumped = 1
    wrong = []
    done = threading.Event()

    def read():
        while not done.is_set():
            reading = table.read()
            total = reading.ended.pumped + sum(stats.forward.pumped for stats in reading.live)
            if total != count:
                wrong.append(total)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for each in rows:
        table.end(each, "finished")
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_it_is_read_while_the_loop_is_busy():
    engine = Engine(Limits(), lambda event: None)
    (client, a), (server, b) = tcp_pair(), tcp_pair()
    for sock in (a, b):
        sock.setblocking(False)
    busy, go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=engine.loop.run)
    with client, server:
        engine.loop.call(lambda: engine.add(a, b))
        thread.start()
        client.sendall(b"moved")
        assert receive(server, 5) == b"moved"
        eventually(lambda: engine.read().live[0].forward.pumped == 5)
        engine.loop.call(lambda: (busy.set(), go_on.wait(20)))
        assert busy.wait(20)
        try:
            assert engine.read().live[0].forward.pumped == 5
        finally:
            go_on.set()
            engine.loop.stop()
            thread.join()
            engine.close()


def test_an_end_is_told_after_the_call_that_led_to_it():
    """Its owner knows the number by then."""
    told = []
    engine = Engine(Limits(), told.append)
    (client, a), (server, b) = tcp_pair(), tcp_pair()
    with client, server:
        number = engine.add(a, b)
        engine.abort(number, "no more")
        assert not told
        assert (engine.live, engine.stats(number)) == (0, None)
        engine.abort(number, "again")
        engine.drop(number, "forward")
        engine.loop.later(0, engine.loop.stop)
        engine.loop.run()
        (event,) = told
        assert (event.stats.number, event.stats.outcome) == (number, "no more")
    (client, a), (server, b) = tcp_pair(), tcp_pair()
    with client, server:
        last = engine.add(a, b)
        engine.close()
        assert (told[-1].stats.number, told[-1].stats.outcome) == (last, "closed")
