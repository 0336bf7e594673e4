"""A proxy that is killed while its connections are in use."""

from __future__ import annotations

import contextlib

from tests.support.ends import ENDED, converse
from tests.support.scale import patience


def trial(connections, process, count):
    """(right, tried, why): both ends of each connection must be reset, and none told of an end."""
    pairs = []
    for number in range(count):
        pair = connections.make()
        converse(*pair, 1 + number % 6)
        pairs.append(pair)
    process.kill()
    process.wait(patience(20))
    right = sum(is_reset(client) and is_reset(server) for client, server in pairs)
    for pair in pairs:
        for sock in pair:
            sock.close()
    return right, count, "" if right == count else "end of stream"


def is_reset(sock):
    """Whether a socket that waits is told of a reset."""
    with contextlib.suppress(*ENDED):
        sock.recv(1)
        return False
    return True
