"""Doctor's way with probes that fail, hang or crash."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sockproxy.controller.doctor import PROBES, Kind, Probe, examine, sockets, verdicts, versions
from sockproxy.controller.doctor.versions import must_not_be, parse, within
from sockproxy.controller.mechanisms import BYPASS, ENROL, OBSERVE, SPLICE, VERDICT_ONLY
from sockproxy.errors import CgroupError, KernelError, PermissionDenied, SockproxyError


def fail():
    raise SockproxyError("it is not there", hint="do this", log="verifier says no")


def probe(name, run, *needed_by, **limits):
    return Probe(name, run, "hint", Kind.DOES, needed_by, limits)


TRIED = (
    probe("good", lambda: "found", SPLICE, BYPASS),
    probe("failing", fail, BYPASS),
    probe("broken", lambda: str(1 // 0), ENROL),
    probe("hanging", lambda: time.sleep(60) or "", ENROL, OBSERVE),
    probe("crashing", lambda: os._exit(9), ENROL, VERDICT_ONLY),
    probe("pointless", lambda: time.sleep(60) or "", ENROL, OBSERVE),
    probe("limiting", fail, **{SPLICE: "slow"}),
)


def test_each_way_to_fail_is_a_finding():
    findings = list(examine(TRIED, seconds=0.5))
    assert [finding.ok for finding in findings] == [True, *[False] * 6]
    assert [finding.found for finding in findings] == [
        "found", "it is not there", "integer division or modulo by zero",
        "no result in 0.5 s", "the probe crashed (9)", "see 'broken'", "it is not there",
    ]  # fmt: skip
    assert findings[1].log == "verifier says no"
    assert [finding.advice for finding in findings] == [
        None, "do this", "hint", "hint", "hint", None, "do this",
    ]  # fmt: skip
    found = verdicts(findings)
    assert {name: list(each.failed) for name, each in found.items() if each.failed} == {
        BYPASS: ["failing"], ENROL: ["broken", "hanging", "crashing"],
        OBSERVE: ["hanging"], VERDICT_ONLY: ["crashing"],
    }  # fmt: skip
    assert found[BYPASS].why_off == "failing: it is not there"
    assert found[ENROL].why_off.endswith("(and 2 more)")
    assert found[SPLICE].on
    assert found[SPLICE].limits == {"limiting": "slow"}


def test_what_may_be_otherwise_a_minute_later_is_told():
    def lack(error):
        raise error

    tried = [
        probe("cgroup", lambda: lack(CgroupError("make it", errno=errno.EROFS)), SPLICE),
        probe("memory", lambda: lack(KernelError("load", errno=errno.ENOMEM)), SPLICE, BYPASS),
        probe("files", lambda: lack(OSError(errno.EMFILE, "files")), SPLICE, ENROL),
        probe("hanging", lambda: time.sleep(60) or "", SPLICE, OBSERVE),
        probe("kernel", lambda: lack(KernelError("load", errno=errno.EINVAL)), VERDICT_ONLY),
    ]
    findings = list(examine(tried, seconds=0.5))
    assert not any(finding.ok for finding in findings)
    assert [finding.lasts for finding in findings] == [False, False, False, False, True]


def test_all_together_have_an_end():
    began = time.monotonic()
    mechanisms = (SPLICE, BYPASS, ENROL, OBSERVE, VERDICT_ONLY)
    hanging = [probe(f"hangs {each}", lambda: time.sleep(60) or "", each) for each in mechanisms]
    findings = list(examine([*hanging, probe("late", lambda: "", *mechanisms)], seconds=0.4))
    assert time.monotonic() - began < 20  # not five times a minute
    assert [finding.ok for finding in findings] == [False] * 6
    assert "others had taken all the time" in {finding.found for finding in findings}


def test_a_probe_ends_with_its_doctor():
    """Killed, it can end nobody."""
    code = (
        "import os, time\n"
        "from sockproxy.controller.doctor import *\n"
        "def run():\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
        "list(examine([Probe('x', run, 'hint', Kind.DOES)], 60))\n"
    )
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as doctor:
        pid = int(doctor.stdout.readline())
        doctor.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    sockets.tidy()  # as the next doctor would


@pytest.mark.parametrize("where", ["after_in_parent", "after_in_child"])
def test_ctrl_c_while_a_probe_is_started(where):
    """What a hook of os.fork() raises is printed and forgotten: the signal has to wait."""
    code = (
        "import os, signal\n"
        "from sockproxy.controller.doctor import *\n"
        f"os.register_at_fork({where}=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "try:\n"
        "    print(*(each.found for each in examine([Probe('x', lambda: 'ran', '', Kind.DOES)])))\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == {"after_in_parent": "interrupted\n", "after_in_child": "ran\n"}[where]
    assert "KeyboardInterrupt" not in done.stderr


def test_no_right_to_tidy_up_is_no_failure(monkeypatch, capfd):
    def refuse():
        raise PermissionDenied("read the pins", errno=errno.EACCES)

    monkeypatch.setattr(sockets, "names", refuse)
    assert [each.found for each in examine([probe("good", lambda: "found")])] == ["found"]
    assert capfd.readouterr().err == ""


def test_what_a_gate_switches_off_is_not_tried():
    gate = Probe("gate", fail, "update", Kind.GATE, (SPLICE,))
    crash = probe("crash", lambda: os._exit(9), SPLICE)
    other = probe("other", lambda: "found", SPLICE, BYPASS)
    findings = list(examine([gate, crash, other]))
    assert [each.found for each in findings] == ["it is not there", "see 'gate'", "found"]
    assert [each.tried for each in findings] == [True, False, True]
    found = verdicts(findings)
    assert list(found[SPLICE].failed) == ["gate"]
    assert found[BYPASS].on


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_probe_explains_itself_and_has_a_consequence(probe):
    assert len(probe.about) > 40
    assert probe.hint
    assert probe.needed_by or probe.limits or probe.avoided


def test_gates_come_before_what_they_keep_from_being_tried():
    kinds = [probe.kind for probe in PROBES]
    assert kinds == sorted(kinds)
    assert Kind.GATE < Kind.LOADS


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
