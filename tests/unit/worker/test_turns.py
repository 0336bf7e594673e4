"""What moves much waits its turn, so that others need not wait for it."""

from __future__ import annotations

import contextlib
import threading

import sockproxy
from tests.support.pattern import Checker, Pattern
from tests.support.sockets import eventually, receive, spliced


def test_streams_and_conversations_beside_each_other():
    """Every byte of all of them."""
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
