"""Doctor's way with probes that fail, hang or crash."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sockproxy.doctor import (
    PROBES,
    Finding,
    Kind,
    Probe,
    examine,
    latest,
    machine,
    outcome,
    proofs,
    sockets,
    versions,
)
from sockproxy.doctor.probe import AGAIN
from sockproxy.doctor.versions import must_not_be, parse, within
from sockproxy.errors import (
    CgroupError,
    KernelError,
    PermissionDenied,
    SockproxyError,
    Unsupported,
)
from sockproxy.proof.mechanisms import BYPASS, ENROL, OBSERVE, SPLICE, VERDICT_ONLY
from sockproxy.proof.proof import Proof

examination = sys.modules[examine.__module__]  # its name is the function's too


def fail():
    raise SockproxyError("it is not there", hint="do this", log="verifier says no")


def probe(name, run, *needed_by, **limits):
    return Probe(name, run, "hint", Kind.DOES, needed_by, limits)


def lack(error):
    """A probe's function that raises."""

    def run():
        raise error

    return run


def hang():
    time.sleep(1000)
    return ""


@pytest.fixture
def busy(monkeypatch):
    """A function: whether the machine is to be taken for a busy one."""
    monkeypatch.setattr(examination, "PAUSE", 0.0)

    def be(value):
        monkeypatch.setattr(machine.Load, "was_busy", lambda load, pid: value)

    be(False)
    return be


TRIED = (
    probe("good", lambda: "found", SPLICE, BYPASS),
    probe("failing", fail, BYPASS),
    probe("broken", lambda: str(1 // 0), ENROL),
    probe("hanging", hang, ENROL, OBSERVE),
    probe("crashing", lambda: os._exit(9), ENROL, VERDICT_ONLY),
    probe("pointless", hang, ENROL),
    probe("limiting", fail, **{SPLICE: "slow"}),
)


def test_each_way_to_fail_is_a_finding(busy):
    findings = list(examine(TRIED, seconds=2))  # all of them: on a busy machine too
    assert [finding.ok for finding in findings] == [True, *[False] * 6]
    assert [finding.found for finding in findings] == [
        "found", "it is not there", "integer division or modulo by zero",
        "no result in 2 s", "the probe crashed (9)", "see 'broken'", "it is not there",
    ]  # fmt: skip
    assert findings[1].log == "verifier says no"
    assert [finding.advice for finding in findings] == [
        None, "do this", "hint", AGAIN, "hint", None, "do this",
    ]  # fmt: skip
    found = proofs(findings)
    assert {name: list(each.failed) for name, each in found.items() if each.failed} == {
        BYPASS: ["failing"], ENROL: ["broken", "crashing"], VERDICT_ONLY: ["crashing"],
    }  # fmt: skip
    assert found[BYPASS].why_not == "failing: it is not there"
    assert found[ENROL].why_not.endswith("(and 1 more)")
    assert (found[OBSERVE].on, found[OBSERVE].known) == (False, False)
    assert found[SPLICE].on
    assert found[SPLICE].limits == {"limiting": "slow"}


MOMENTARY = {
    "memory": KernelError("load", errno=errno.ENOMEM),
    "no memory": MemoryError(),
    "files": OSError(errno.EMFILE, "files"),
    "busy": KernelError("attach", errno=errno.EBUSY),
    "again": KernelError("fork", errno=errno.EAGAIN),
    "interrupted": OSError(errno.EINTR, "interrupted"),
    "late": TimeoutError("timed out"),
}
LASTING = {
    "kernel": KernelError("load", errno=errno.EINVAL),
    "refused": Unsupported("load", errno=errno.EPERM),
    "wrong": SockproxyError("received b''"),
}
ELSEWHERE = {
    "cgroup": CgroupError("make it", errno=errno.EROFS),
    "rights": PermissionDenied("load", errno=errno.EPERM),
    "path": OSError(errno.ENOENT, "not there"),
}


def tried(errors):
    """What comes of a probe for each error, once."""
    return list(examine([probe(name, lack(each), BYPASS) for name, each in errors.items()], 10))


@pytest.mark.parametrize(
    ("errors", "conclusive", "lasts"),
    [(MOMENTARY, False, False), (LASTING, True, True), (ELSEWHERE, True, False)],
    ids=["of the moment", "of the kernel", "of this process"],
)
def test_what_a_failure_says(busy, errors, conclusive, lasts):
    for name, error in errors.items():
        (finding,) = tried({name: error})
        assert (finding.ok, finding.conclusive, finding.lasts) == (False, conclusive, lasts), name
        found = proofs([finding])[BYPASS]
        assert (found.known, found.lasts) == (conclusive, lasts), name


def test_a_refusal_behind_a_filter_is_not_kept(monkeypatch):
    monkeypatch.setattr(outcome, "is_filtered", lambda: True)
    (finding,) = tried({"refused": Unsupported("load", errno=errno.EPERM)})
    assert (finding.conclusive, finding.lasts) == (True, False)


@pytest.mark.parametrize(
    ("number", "conclusive"),
    [(signal.SIGSEGV, True), (signal.SIGABRT, True), (signal.SIGKILL, False),
     (signal.SIGTERM, False), (signal.SIGXCPU, False)],
)  # fmt: skip
def test_a_crash_is_a_finding_and_to_be_killed_is_none(number, conclusive):
    """The kernel kills by SIGKILL when memory is short."""

    def die():
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)
        return ""

    (finding,) = examine([probe("dies", die, BYPASS)])
    assert signal.Signals(number).name in finding.found
    assert (finding.ok, finding.conclusive) == (False, conclusive)


def test_no_room_for_a_process_is_of_the_moment(monkeypatch):
    def refuse(*_):
        raise BlockingIOError(errno.EAGAIN, "no")

    monkeypatch.setattr(examination, "apart", refuse)
    (finding,) = examine([probe("good", lambda: "found", SPLICE)])
    assert (finding.ok, finding.conclusive, finding.lasts) == (False, False, False)


def test_what_was_not_found_out_is_tried_again_with_more_patience(busy, tmp_path):
    """And the later finding holds; what is known is not tried again."""
    marks = tmp_path / "marks"

    def once_late():
        with marks.open("a") as file:
            file.write(f"{sockets.patience()} ")
        if len(marks.read_text().split()) == 1:
            raise TimeoutError("timed out")
        return "found"

    late = probe("late", once_late, BYPASS)
    findings = list(examine([late, probe("good", lambda: "found", BYPASS)], 4.0, passes=3))
    assert [(each.probe.name, each.ok) for each in findings] == [
        ("late", False), ("good", True), ("late", True),
    ]  # fmt: skip
    first, second = map(float, marks.read_text().split())
    assert second == 2 * first
    assert proofs(findings)[BYPASS] == Proof()
    assert [each.found for each in latest(findings)] == ["found", "found"]


def test_a_stall_that_comes_again_is_the_kernels_unless_the_machine_is_busy(busy):
    stalls = [probe("stalls", lack(TimeoutError("timed out")), BYPASS)]
    *_, last = examine(stalls, 4.0, passes=3)
    assert (last.conclusive, last.lasts) == (True, True)
    assert last.found == "timed out, again, and the machine is not busy"
    busy(True)
    findings = list(examine(stalls, 4.0, passes=3))
    assert [each.conclusive for each in findings] == [False] * 3
    assert findings[-1].found == "timed out: this machine is busy"


@pytest.mark.parametrize("is_busy", [False, True])
def test_what_a_busy_machine_showed_is_not_kept_until_the_boot(busy, is_busy):
    """But that a limit is there is: it costs little to be wrong."""
    busy(is_busy)
    for probes, lasts in (
        ([probe("fails", fail, BYPASS)], not is_busy),
        ([probe("slow", fail, **{BYPASS: "slow"})], True),
        ([Probe("refused", fail, "hint", Kind.LOADS, (BYPASS,))], True),
    ):
        found = proofs(examine(probes))[BYPASS]
        assert (found.known, found.lasts) == (True, lasts)


def test_what_is_off_by_then_is_not_tried_again(busy):
    findings = list(
        examine([probe("hangs", hang, BYPASS), probe("fails", fail, BYPASS)], 0.3, passes=3)
    )
    assert [(each.probe.name, each.tried) for each in findings] == [
        ("hangs", True), ("fails", True), ("hangs", False),
    ]  # fmt: skip
    found = proofs(findings)[BYPASS]
    assert (list(found.failed), found.known, found.lasts) == (["fails"], True, True)


def test_a_limit_that_was_not_found_out_is_one(busy):
    finding = Finding(probe("slow", fail, **{BYPASS: "slow"}), False, "late", conclusive=False)
    found = proofs([finding])[BYPASS]
    assert (found.on, found.limits) == (True, {"slow": "slow"})


def test_doctor_does_not_send_to_doctor():
    error = KernelError("load", errno=errno.EINVAL, hint="run 'sockproxy doctor' to see", log="no")
    (finding,) = tried({"load": error})
    assert (finding.advice, finding.log) == ("hint", "no")


def test_a_process_that_spins_is_not_a_busy_machine(monkeypatch):
    """Nor one of many CPUs of which some are idle."""
    times = iter([[0, 0, 0, 0, 0, 0, 0, 0], [100, 0, 0, 0, 0, 0, 0, 0]] * 2)
    monkeypatch.setattr(machine, "_cpu_times", lambda: next(times))
    monkeypatch.setattr(machine, "SHORT", 0.0)
    monkeypatch.setattr(machine, "_waited", lambda pid: 0.0)
    monkeypatch.setattr(machine, "_own_time", lambda pid: 90)
    assert not machine.Load().was_busy(1)
    monkeypatch.setattr(machine, "_own_time", lambda pid: 5)
    assert machine.Load().was_busy(1)


def test_the_load_of_this_machine_can_be_told():
    assert len(machine._cpu_times()) == 8
    load = machine.Load()
    assert not load.was_busy(os.getpid())  # in no time
    time.sleep(2 * machine.SHORT)
    load.was_busy(os.getpid())


def test_all_together_have_an_end():
    began = time.monotonic()
    mechanisms = (SPLICE, BYPASS, ENROL, OBSERVE, VERDICT_ONLY)
    hanging = [probe(f"hangs {each}", hang, each) for each in mechanisms]
    findings = list(examine([*hanging, probe("late", lambda: "", *mechanisms)], seconds=0.4))
    assert time.monotonic() - began < 20  # not five times a minute
    assert [finding.ok for finding in findings] == [False] * 6
    assert "others had taken all the time" in {finding.found for finding in findings}


def test_a_probe_ends_with_its_doctor():
    """Killed, it can end nobody."""
    code = (
        "import os, time\n"
        "from sockproxy.doctor import *\n"
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
        "from sockproxy.doctor import *\n"
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
    found = proofs(findings)
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
