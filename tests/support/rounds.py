"""More bytes by TCP than it has sequence numbers."""

from __future__ import annotations

import itertools
import threading

from tests.support.short_circuit import counted
from tests.support.sockets import receive

BLOCK, GROUP = 16384, 4  # bytes, and blocks to an answer
MOST = BLOCK * GROUP  # bytes that a reader finds at once
ROUND = 1 << 32  # TCP's sequence numbers
LAST = (1 << 64) - 1


def go_round(one, other):
    """A grant of the beginning must not be good again when write_seq, or a count of 32 bits, comes
    by once more: each block says its number, and all are of a size that would fit it."""
    wrong, answers = [], []

    def read():
        for number in itertools.count():
            found = int.from_bytes(receive(other, BLOCK)[:8], "big")
            if found == LAST:
                return
            if found != number:
                wrong.append((number, found))
                return
            if number % GROUP == 0:
                other.sendall(b"!")  # a word, so that it is no stream; more is unread by then
                answers.append(number)

    reader = threading.Thread(target=read)
    reader.start()
    tail, number, heard = bytes(BLOCK - 8), 0, 0
    while number % 1024 or (counted(other) < ROUND + 64 * MOST and not wrong):
        one.sendall(number.to_bytes(8, "big") + tail)
        number += 1
        if number % GROUP == 0:
            heard += len(one.recv(64))
    one.sendall(LAST.to_bytes(8, "big") + tail)
    reader.join(60)
    assert not reader.is_alive()
    assert not wrong, wrong
    receive(one, len(answers) - heard)
