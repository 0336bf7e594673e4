"""Doctor on this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from sockproxy.bypass.left_alone import must_be_left_alone
from sockproxy.proof.record import kept_at
from tests.support.proxy import run_sockproxy

pytestmark = [pytest.mark.root, pytest.mark.bpf]


def test_all_is_on_here():
    done = run_sockproxy("doctor", timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "splice: on" in done.stdout
    off = [line for line in done.stdout.splitlines() if ": off" in line]
    assert off == ["splice, verdict only: off: exact"]


@pytest.fixture(scope="module")
def report():
    return json.loads(run_sockproxy("doctor", "--json", timeout=150).stdout)


def test_limits_are_those_that_attach_knows(report):
    limits = report["mechanisms"]["bypass"]["limited_by"]
    assert ("FIONREAD" in limits) == ("nginx" in must_be_left_alone())


def test_explain():
    done = run_sockproxy("doctor", "--explain", "FIONREAD")
    assert (done.returncode, "929e30f93125" in done.stdout) == (0, True)
    done = run_sockproxy("doctor", "--explain", "nothing")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_json(report):
    assert (report["kind"], report["schema"]) == ("doctor", 1)
    # Which this kernel may have, and what it may refuse that is no more than a limit.
    bugs = {"FIONREAD", "splice reads", "urgent bytes", "bypass: asking"}
    failed = {check["name"] for check in report["checks"] if not check["ok"]}
    harmless = {check["name"] for check in report["checks"] if check["avoided"]}
    assert failed - bugs - harmless == {"exact"}  # which fails everywhere
    assert report["mechanisms"]["splice"] == {
        "on": True,
        "failed": [],
        "limits": [],
        "limited_by": {},
        "unknown": {},
    }
    assert report["mechanisms"]["bypass"]["on"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing(number):
    """Nor a traceback; the fixture of all tests looks for cgroups and pins."""
    argv = [sys.executable, "-u", "-m", "sockproxy", "doctor"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as doctor:
        for line in doctor.stdout:
            if "bounded memory" in line:  # and so the next one, a bypass, is being tried
                break
        doctor.send_signal(number)
        _, errors = doctor.communicate(timeout=150)
    assert doctor.returncode in (128 + number, 130)
    assert "Traceback" not in errors


def test_a_hasty_doctor_decides_nothing_for_others():
    place = kept_at()
    before = place.read_bytes()
    told = json.loads(run_sockproxy("doctor", "--json", "--patience", "1ms", timeout=150).stdout)
    assert told["kept"] is None
    assert place.read_bytes() == before
