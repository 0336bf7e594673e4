"""A probe's process: it ends with its doctor, and signals come when it has been started."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sockproxy.doctor import examine, trial
from sockproxy.errors import PermissionDenied
from tests.unit.doctor.made import probe


def test_a_probe_ends_with_its_doctor():
    """Killed, it can end nobody."""
    code = (
        "import os, time\n"
        "from sockproxy.doctor import *\n"
        "def run(_):\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
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
    trial.tidy()  # as the next doctor would


@pytest.mark.parametrize("where", ["after_in_parent", "after_in_child"])
def test_ctrl_c_while_a_probe_is_started(where):
    """What a hook of os.fork() raises is printed and forgotten: the signal has to wait."""
    code = (
        "import os, signal\n"
        "from sockproxy.doctor import *\n"
        f"os.register_at_fork({where}=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "probe = Probe('x', lambda _: 'ran', '', Kind.DOES)\n"
        "try:\n    print(*(each.found for each in examine([probe])))\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == {"after_in_parent": "interrupted\n", "after_in_child": "ran\n"}[where]
    assert "KeyboardInterrupt" not in done.stderr


def test_no_right_to_tidy_up_is_no_failure(monkeypatch, capfd):
    def refuse():
        raise PermissionDenied("read the pins", errno=errno.EACCES)

    monkeypatch.setattr(trial, "names", refuse)
    assert [each.found for each in examine([probe("good", lambda: "found")])] == ["found"]
    assert capfd.readouterr().err == ""
