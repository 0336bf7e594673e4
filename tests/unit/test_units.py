"""Sizes, durations and rates as people write them."""

from __future__ import annotations

import pytest

from sockproxy.errors import UsageError
from sockproxy.units import Rate, format_size, parse_duration, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("64k", 65536), ("1MiB", 1 << 20), ("1.5 GB", 3 << 29), ("7b", 7)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1Q", "1 MiBs", "k", "1e6", "9" * 30, "9" * 400])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2), ("2s", 2), ("500ms", 0.5), ("5m", 300), ("1.5h", 5400)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "0s", "-1s", "5 days", "s", "9" * 30, "9" * 400 + "h"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "rate", "written"),
    [("100/s", Rate(100, 1.0), "100/1s"), ("10/500ms", Rate(10, 0.5), "10/0.5s"),
     (" 600 / 10m ", Rate(600, 600.0), "600/600s"), ("1/h", Rate(1, 3600.0), "1/3600s")],
)  # fmt: skip
def test_rates(text, rate, written):
    assert parse_rate(text) == rate
    assert str(rate) == written


@pytest.mark.parametrize(
    "text", ["", "/", "10", "10/", "/s", "0/s", "-1/s", "1.5/s", "9999999999/s", "1/0s", "1/x"]
)
def test_what_is_no_rate(text):
    with pytest.raises(UsageError, match="rate"):
        parse_rate(text)


def test_sizes_are_written_with_three_digits():
    sizes = (0, 999, 1000, 1 << 20, 5 << 30)
    assert [format_size(size) for size in sizes] == [
        "0 B",
        "999 B",
        "0.977 KiB",
        "1 MiB",
        "5 GiB",
    ]
