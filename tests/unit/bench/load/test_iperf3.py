"""What is read of iperf3's JSON."""

from __future__ import annotations

import json

import pytest

from sockproxy.bench.load.iperf3 import Iperf3
from sockproxy.bench.scenario import Case

END = {"bits_per_second": 3e9, "bytes": 10}


def read(test, intervals):
    end = {"sum_sent": END, "sum_received": END, "sum_received_bidir_reverse": END}
    tool = Iperf3()
    case = Case(tool, test, ("plain",), 64, 1, "loopback", "free", 2)
    return tool.read(case, json.dumps({"end": end, "intervals": intervals}), 2)


def test_figures_of_each_second():
    sums = [{"sum": {"bits_per_second": each * 1e9}} for each in (2, 4)]
    assert read("stream", sums).each_second == pytest.approx((2, 4))
    for each in sums:
        each["sum_bidir_reverse"] = {"bits_per_second": 1e9}
    assert read("bidir", sums).each_second == pytest.approx((3, 5))
    assert read("stream", []).each_second == ()
