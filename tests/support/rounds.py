"""More bytes than TCP has sequence numbers."""

from __future__ import annotations

import threading

from tests.support.sockets import receive

BLOCK, GROUP = 16384, 4  # bytes, and blocks to an answer
MOST = BLOCK * GROUP  # bytes that a reader finds at once
ROUND = 1 << 32  # TCP's sequence numbers


def go_round(one, other):
    """A grant of the beginning must not be good again when write_seq, or a count of 32 bits, comes
    by once more: each block says its number, and all are of a size that would fit it."""
    last = ROUND // BLOCK + 64 * GROUP
    wrong = []

    def read():
        for number in range(last):
            block = receive(other, BLOCK)
            if int.from_bytes(block[:8], "big") != number:
                wrong.append((number, int.from_bytes(block[:8], "big")))
                return
            if number % GROUP == 0:
                other.sendall(b"!")  # a word, so that it is no stream; more is unread by then

    reader = threading.Thread(target=read)
    reader.start()
    tail, answers = bytes(BLOCK - 8), 0
    for number in range(last):
        one.sendall(number.to_bytes(8, "big") + tail)
        if number % GROUP == GROUP - 1:
            answers += len(one.recv(64))
    reader.join(60)
    assert not reader.is_alive()
    assert not wrong, wrong
