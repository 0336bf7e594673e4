"""vagrant/matrix: a guest that ends well, hangs or crashes, and what is told of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.sockets import eventually
from vagrant.matrix import boot, results
from vagrant.matrix.document import page
from vagrant.matrix.errors import MatrixError
from vagrant.matrix.kernels import CHECKOUT, chosen, read_table
from vagrant.matrix.table import as_table

# vng's arguments are: --verbose --disable-kvm --force-9p --rwdir OUT ...
FAKE = "#!/bin/bash\nout=$5\n"
DOCTOR = {
    "kernel": "6.12.1",
    "checks": [
        {"name": "btf", "ok": True, "found": "4958704 bytes", "hint": ""},
        {"name": "splice reads", "ok": False, "found": "it does not see it", "hint": "none"},
    ],
    "mechanisms": {
        "splice": {"on": True, "failed": [], "limits": []},
        "bypass": {"on": True, "failed": [], "limits": ["who reads with splice(2) stays on TCP"]},
        "splice, verdict only": {"on": False, "failed": ["exact"], "limits": []},
    },
}
CONFORMANCE = {
    "schema": 1,
    "kind": "conformance",
    "sections": [
        {
            "name": "Closing",
            "rows": [
                {
                    "name": "half-close",
                    "splice": {"status": "passed", "tests": 2},
                    "verdict-only": {"status": "off", "tests": 1, "reason": "failed: exact"},
                    "bypass": {"status": "failed", "tests": 1, "failed": ["tests/a.py::test_b"]},
                },
                {
                    "name": "reset",
                    "splice": {"status": "passed", "tests": 2},
                    "verdict-only": {"status": "off", "tests": 1, "reason": "failed: exact"},
                    "bypass": {"status": "not run", "tests": 0, "reason": "soak"},
                },
            ],
        }
    ],
}


@pytest.fixture
def kernel():
    return replace(chosen(read_table(), ["6.12"])[0], minutes=1)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A function that puts a `vng` on PATH."""
    monkeypatch.setattr(boot, "OVERLAID", Path("/nowhere"))  # tmp_path is below /tmp
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def write(script):
        path = tmp_path / "vng"
        path.write_text(FAKE + script)
        path.chmod(0o755)

    return write


def write_results(
    out, conformance=CONFORMANCE, status="doctor 0\ntests 1\nend 0\n", dmesg="", doctor=DOCTOR
):
    out.mkdir(exist_ok=True)
    (out / "doctor.json").write_text(json.dumps(doctor))
    (out / "conformance.json").write_text(json.dumps(conformance))
    (out / "status").write_text(status)
    (out / "uname").write_text("6.12.1\n")
    (out / "dmesg").write_text(dmesg)


def run(kernel, tmp_path, stopped=lambda: False):
    told = []
    job = boot.Job(kernel, tmp_path / "out", image="vmlinuz")
    in_time = boot.run(job, stopped, told.append)
    return results.read_run(kernel, job.out, in_time, "6.12.1-1", 12.3), told


def test_a_guest_that_leaves_results(kernel, fake, tmp_path):
    done = tmp_path / "done"
    write_results(done, {**CONFORMANCE, "sections": []}, "doctor 1\ntests 0\nend 0\n")
    fake(f"cp {done}/* $out; exit 255")
    record, told = run(kernel, tmp_path)
    assert (record["outcome"], record["why"]) == ("passed", "")
    assert record["release"] == "6.12.1"
    assert told[0] == "boots"


def test_a_guest_that_hangs_is_ended_with_all_it_started(kernel, fake, tmp_path):
    fake("echo 'last words'; sleep 1000 & echo $! >$out/child; wait")
    record, _ = run(replace(kernel, minutes=0.02), tmp_path)
    assert record["outcome"] == "timed out"
    assert record["console"] == ["last words"]
    child = int((tmp_path / "out" / "child").read_text())
    eventually(lambda: not running(child))


def running(pid):
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_guest_that_crashes_shows_its_console(kernel, fake, tmp_path):
    fake("echo doctor 0 >$out/status; echo '[ 1.0] Kernel panic - not syncing'; exit 255")
    record, _ = run(kernel, tmp_path)
    assert record["outcome"] == "crashed"
    assert record["why"] == "ended after: doctor"
    assert record["warnings"] == record["console"] == ["[ 1.0] Kernel panic - not syncing"]


def test_a_stop_ends_the_guest(kernel, fake, tmp_path):
    fake("sleep 1000")
    record, _ = run(kernel, tmp_path, stopped=lambda: True)
    assert record["outcome"] == "crashed"


def test_a_folder_that_guests_lose_is_refused(kernel, fake, tmp_path, monkeypatch):
    fake("true")
    monkeypatch.setattr(boot, "OVERLAID", tmp_path)
    with pytest.raises(MatrixError, match="files there are lost"):
        run(kernel, tmp_path)


def test_without_vng_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(boot.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(MatrixError, match="make matrix installs it"):
        boot.find_vng()


def test_ctrl_c_ends_the_guest(fake, tmp_path):
    """The whole command, with packages that are there and an archive that is quick to make."""
    fake("echo $$ >$out/child; sleep 1000")
    code = f"""
import sys
from pathlib import Path
from vagrant.matrix import boot, campaign, cli
from vagrant.matrix.packages import Unpacked
boot.OVERLAID = Path("/nowhere")
campaign.fetch_all = lambda *_: {{"6.12": Unpacked("6.12", "1", "vmlinuz")}}
campaign.pack = lambda path: path.touch()
sys.argv = ["matrix", "run", "6.12", "--out", {str(tmp_path / "all")!r}]
cli.main()
"""
    command = subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stderr=subprocess.PIPE)
    child = tmp_path / "all" / "6.12" / "child"
    eventually(lambda: child.exists() and child.read_text())
    pid = int(child.read_text())
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=60)
    assert command.returncode == 1
    assert b"Aborted!" in errors
    assert not running(pid)
    assert not (tmp_path / "all" / "guest.tar").exists()


# -- what is told of it -----------------------------------------------------------------------


def record_of(kernel, out, **named):
    write_results(out, **named)
    return results.read_run(kernel, out, True, "6.12.1-1", 12.3)


def test_failed_cells_are_named_and_counted(kernel, tmp_path):
    record = record_of(kernel, tmp_path / "out")
    assert (record["outcome"], record["why"]) == ("failed", "tests: exit status 1")
    assert record["conformance"]["counts"] == {
        "splice": {"passed": 2},
        "verdict-only": {"off": 2},
        "bypass": {"failed": 1, "not run": 1},
    }
    assert record["conformance"]["failed"] == [
        {"row": "half-close", "mechanism": "bypass", "tests": ["tests/a.py::test_b"]}
    ]
    assert results.load(results.save(record, tmp_path)) == record


def test_what_was_on_and_is_off_is_a_failure(kernel, tmp_path):
    def found(on):
        each = {name: {"on": name in on} for name in ("splice", "bypass")}
        return {"mechanisms": each, "emulated": True, "release": "6.1.0-1", "outcome": "passed"}

    record = found({"splice"})
    results.compare(record, found({"splice"}))
    assert record["outcome"] == "passed"
    results.compare(record, found({"splice", "bypass"}))
    assert record["outcome"] == "failed"
    assert record["why"] == "off, and on with 6.1.0-1: bypass"


@pytest.mark.parametrize(
    "line",
    [
        "[  3.1] BUG: kernel NULL pointer dereference, address: 0",
        "[  3.1] WARNING: CPU: 0 PID: 1 at net/core/sock_map.c:1",
        "[  3.1] Oops: 0000 [#1]",
        "[  3.1] general protection fault",
        "[  3.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "[  3.1] INFO: task python:7 blocked for more than 120 seconds.",
    ],
)
def test_what_the_kernel_warns_of_is_a_failure(kernel, tmp_path, line):
    status = "doctor 0\ntests 0\nend 0\n"
    record = record_of(kernel, tmp_path / "out", dmesg=f"[ 1.0] fine\n{line}\n", status=status)
    assert (record["outcome"], record["warnings"]) == ("failed", [line])


def test_slowness_is_no_warning():
    assert results.warnings("[ 1.0] tsc: Fast TSC calibration failed\n") == []


def test_the_table_and_the_page(kernel, tmp_path):
    record = record_of(kernel, tmp_path / "out")
    shown = "\n".join(as_table([record]))
    assert "on, with limits" in shown
    assert "2/1/2" in shown
    assert "6.12: failed: half-close (bypass)" in shown
    text = page([record], [kernel, replace(kernel, name="9.9")])
    assert "| bypass | on, with limits | who reads with splice(2) stays on TCP | 1 failed" in text
    # Recorded before the table had such a column.
    assert "| short-circuit | on | needs splice and bypass | not run |" in text
    assert "- half-close (bypass): `tests/a.py::test_b`" in text
    assert "### splice reads" in text
    assert "- 6.12.1: it does not see it" in text
    assert "No result is recorded of: 9.9." in text


def test_a_short_circuit_is_off_where_one_of_its_parts_is(kernel, tmp_path):
    off = {"on": False, "failed": ["bypass"], "limits": []}
    doctor = {**DOCTOR, "mechanisms": {**DOCTOR["mechanisms"], "bypass": off}}
    text = page([record_of(kernel, tmp_path / "out", doctor=doctor)], [kernel])
    assert "| short-circuit | off | needs splice and bypass |" in text


def test_a_file_that_is_no_record_is_told(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(MatrixError, match="no record"):
        results.load(tmp_path / "a.json")
