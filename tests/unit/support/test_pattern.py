"""The integrity check itself: it must find every kind of damage."""

from __future__ import annotations

import pytest

from tests.support.pattern import PERIOD, Checker, IntegrityError, Pattern


def stream(seed, size, step=65536):
    pattern = Pattern(seed)
    return b"".join(pattern.at(at, min(step, size - at)) for at in range(0, size, step))


def check(seed, data, step):
    checker = Checker(seed)
    for at in range(0, len(data), step):
        checker.feed(data[at : at + step])


@pytest.mark.parametrize("step", [1, 7, 4095, 4096, 4097, 100_000])
def test_any_cutting_gives_the_same_bytes(step):
    size = 10_000 if step < 10 else 1_000_000
    check(3, stream(3, size), step)


GOOD = stream(5, 4 * PERIOD)
DAMAGE = {
    "one byte lost": GOOD[:70_000] + GOOD[70_001:],
    "one byte repeated": GOOD[:70_000] + GOOD[69_999:],
    "a segment repeated": GOOD[:131_072] + GOOD[65_536:],
    "a whole period lost": GOOD[:65_536] + GOOD[65_536 + PERIOD :],
    "two segments exchanged": GOOD[:4096] + GOOD[8192:12288] + GOOD[4096:8192] + GOOD[12288:],
    "one bit": GOOD[:9000] + bytes([GOOD[9000] ^ 1]) + GOOD[9001:],
    "another connection's bytes": stream(6, 100_000),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(name):
    with pytest.raises(IntegrityError):
        check(5, DAMAGE[name], 65_536)


def test_the_message_says_where_the_bytes_belong():
    with pytest.raises(IntegrityError, match=r"from byte 655.. on: bytes that belong to 1638.."):
        check(5, GOOD[:65_536] + GOOD[163_840:], 65_536)
