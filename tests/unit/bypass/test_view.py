"""What is counted of sockets that close while they are looked at."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sockproxy.bypass.view import LEFT_PLAIN, TRIES, WHY_LEFT, _count_all
from sockproxy.metrics.bypasses import never_less


class Closing:
    """A bypass with two sockets that have sent 10 each, of which one closes in each look but those
    that are `calm`."""

    def __init__(self, calm):
        self.calm, self.looks, self.closed, self.sent = calm, 0, 0, 0

    def totals(self):
        return {"closed": self.closed, "bypassed_bytes": self.sent}

    def listed(self):
        live = [SimpleNamespace(bypassed_bytes=10)]
        if self.looks not in self.calm:
            self.closed += 1
            self.sent += 10
        self.looks += 1
        return SimpleNamespace(connections=live)


def counted(bypass):
    totals, listed = _count_all(bypass)
    return totals["bypassed_bytes"] + sum(each.bypassed_bytes for each in listed.connections)


def test_a_socket_that_closes_meanwhile_is_counted():
    assert counted(Closing(calm={0})) == 10
    bypass = Closing(calm={2})
    assert counted(bypass) == 30
    assert bypass.looks == 3


def test_where_one_closes_always_none_is_counted_twice():
    bypass = Closing(calm=())
    assert counted(bypass) == 10 * TRIES  # the last is missing
    assert bypass.sent == 10 * TRIES


FULL = {"enrolled": 4, "age": 9.0, "bypassed_bytes": 7, "bypassed_messages": 2}
FULL |= {"passed_bytes": 5, "passed_messages": 1}


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, 7),
        (FULL | {"age": 8.0, "bypassed_bytes": 9}, 9),
        (FULL | {"age": 8.0, "bypassed_bytes": 6}, 7),
        (FULL | {"age": 10.0, "bypassed_bytes": 9}, 7),  # it was attached anew
        (FULL | {"enrolled": 5, "bypassed_bytes": 9}, 7),
    ],
)
def test_a_counter_does_not_fall(before, expected):
    assert never_less(FULL, before)["bypassed_bytes"] == expected


def test_what_each_counter_of_sockets_left_plain_means_is_known():
    assert set(WHY_LEFT) == set(LEFT_PLAIN)
