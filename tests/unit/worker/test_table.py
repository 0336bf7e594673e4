"""The table of connections: read by any thread, while the loop writes it, and each counted once."""

from __future__ import annotations

import threading

from sockproxy.worker.door import Limits
from sockproxy.worker.engine import Engine
from tests.support.sockets import eventually, receive, tcp_pair


def test_sums_are_right_whenever_they_are_read():
    """Connections end while others read: none is counted twice, and none is missed."""
    engine, count = Engine(Limits(), lambda event: None), 100
    thread = threading.Thread(target=engine.loop.run)
    ends, numbers, wrong = [], [], []
    done = threading.Event()
    for _ in range(count):
        (client, a), (server, b) = tcp_pair(), tcp_pair()
        for sock in (a, b):
            sock.setblocking(False)
        ends += [client, server]
        engine.loop.call(lambda a=a, b=b: numbers.append(engine.add(a, b)))
        client.sendall(b"x")
    thread.start()
    for server in ends[1::2]:
        assert receive(server, 1) == b"x"

    def total():
        reading = engine.read()
        return reading.ended.pumped + sum(stats.forward.pumped for stats in reading.live)

    def read():
        while not done.is_set():
            if (found := total()) != count:
                wrong.append(found)

    eventually(lambda: total() == count)
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in numbers:
        engine.loop.call(lambda number=number: engine.abort(number, "enough"))
    eventually(lambda: not engine.live)
    done.set()
    for reader in readers:
        reader.join()
    reading = engine.read()
    assert not reading.live
    assert (reading.ended.pairs, reading.ended.reset, reading.ended.pumped) == (count,) * 3
    engine.loop.stop()
    thread.join()
    engine.close()
    for sock in ends:
        sock.close()
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
