"""The number of kernel.org, and what a gate makes of it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from sockproxy.doctor import versions
from sockproxy.doctor.versions import must_not_be, parse, within
from sockproxy.errors import SockproxyError


@pytest.mark.parametrize(
    ("release", "version", "signature", "found"),
    [
        ("6.18.44", "#1 SMP PREEMPT_DYNAMIC Mon Nov 2 2026", "", (6, 18, 44)),
        ("6.1.0-56-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-01)", "", (6, 1, 192)),
        ("5.10.0-46-amd64", "#1 SMP Debian 5.10.262-1 (2026-10-01)", "", (5, 10, 262)),
        ("6.8.0-57-generic", "#59-Ubuntu SMP", "Ubuntu 6.8.0-57.59-generic 6.8.12", (6, 8, 12)),
        ("5.14.0-503.el9.x86_64", "#1 SMP", "", (5, 14, 0)),
        ("6.6.87.2-microsoft-standard-WSL2", "#1 SMP", "", (6, 6, 87)),
        ("7.2-rc3", "#1 SMP", "", (7, 2, 0)),
    ],
)
def test_kernel_orgs_number_is_found(release, version, signature, found):
    assert parse(release, version, signature) == found


def test_a_release_without_a_number_is_told():
    with pytest.raises(SockproxyError):
        parse("custom")


def test_a_vendors_number_that_hides_its_fixes_is_not_believed(monkeypatch):
    def running(release, version="#1 SMP"):
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release, version=version))
        monkeypatch.setattr(versions, "SIGNATURE", Path("/nowhere"))
        return must_not_be([("6.1.95", "6.1.142"), ("6.13", "6.15.3")])

    for release in ("5.14.0-503.el9.x86_64", "6.4.0-150600-default", "6.1.100"):
        with pytest.raises(SockproxyError):
            running(release)
    assert running("6.17.0-5-generic") == "not in 6.17.0"
    assert running("5.10.262") == "not in 5.10.262"
    assert running("6.1.0-56-amd64", "#1 SMP Debian 6.1.192-2") == "not in 6.1.192"


def test_a_range_ends_before_the_release_that_mends_it():
    ranges = [("6.1.95", "6.1.142"), ("6.13", "6.15.3")]
    inside = {"6.1.95", "6.1.141", "6.13.0", "6.15.2"}
    outside = {"6.1.94", "6.1.142", "6.12.99", "6.15.3", "7.2.1"}
    assert {each for each in inside | outside if within(parse(each), ranges)} == inside
