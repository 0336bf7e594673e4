"""Doctor on this machine."""

from __future__ import annotations

import json

import pytest

from sockproxy.controller.left_alone import must_be_left_alone
from tests.support.proxy import run_sockproxy

pytestmark = [pytest.mark.root, pytest.mark.bpf]


def test_all_is_on_here():
    done = run_sockproxy("doctor", timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "splice: on" in done.stdout
    off = [line for line in done.stdout.splitlines() if ": off" in line]
    assert off == ["splice, verdict only: off: exact"]


def test_limits_are_those_that_attach_knows():
    report = json.loads(run_sockproxy("doctor", "--json", timeout=60).stdout)
    limits = " ".join(report["mechanisms"]["bypass"]["limits"])
    assert ("nginx" in limits) == ("nginx" in must_be_left_alone())


def test_explain():
    done = run_sockproxy("doctor", "--explain", "FIONREAD")
    assert (done.returncode, "929e30f93125" in done.stdout) == (0, True)
    done = run_sockproxy("doctor", "--explain", "nothing")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_json():
    report = json.loads(run_sockproxy("doctor", "--json", timeout=60).stdout)
    assert (report["kind"], report["schema"]) == ("doctor", 1)
    bugs = {"FIONREAD", "splice reads", "urgent bytes"}  # which this kernel may have
    failed = {check["name"] for check in report["checks"] if not check["ok"]}
    harmless = {check["name"] for check in report["checks"] if check["avoided"]}
    assert failed - bugs - harmless == {"exact"}  # which fails everywhere
    assert report["mechanisms"]["splice"] == {"on": True, "failed": [], "limits": []}
    assert report["mechanisms"]["bypass"]["on"]
