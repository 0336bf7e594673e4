"""Doctor on this machine."""

from __future__ import annotations

import json

import pytest

from tests.support.proxy import run_sockproxy

pytestmark = [pytest.mark.root, pytest.mark.bpf]


def test_all_is_on_here():
    done = run_sockproxy("doctor", timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "splice: on" in done.stdout
    assert "off" not in done.stdout


def test_json():
    report = json.loads(run_sockproxy("doctor", "--json", timeout=60).stdout)
    assert (report["kind"], report["schema"]) == ("doctor", 1)
    assert all(check["ok"] for check in report["checks"])
    assert report["mechanisms"]["splice"] == {"on": True, "failed": []}
