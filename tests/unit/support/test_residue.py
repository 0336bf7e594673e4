"""What tests leave behind when they are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.scale import patience

ROOT = Path(__file__).parents[3]
DIES = """
import os, signal, subprocess, pathlib

def test_it(tmp_path):
    server = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    pathlib.Path(os.environ["TOLD"]).write_text(str(server.pid))
    os.kill({victim}, signal.{signal})
    server.wait()
"""
KILLED = DIES.format(victim="os.getpid()", signal="SIGKILL")
INTERRUPTED = DIES.format(victim="os.getppid()", signal="SIGINT")


@pytest.mark.parametrize("test", [KILLED, INTERRUPTED], ids=["killed", "interrupted"])
def test_a_worker_that_is_killed_leaves_no_process(tmp_path, test):
    told = tmp_path / "told"
    (tmp_path / "test_it.py").write_text(test)
    beside = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID")
    environ = {name: value for name, value in os.environ.items() if name not in beside}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "1", "--max-worker-restart", "0", "-c", os.devnull,
         "-p", "tests.conftest", "--rootdir", tmp_path, tmp_path / "test_it.py"],
        cwd=ROOT, env={**environ, "TOLD": str(told)}, capture_output=True, text=True,
        timeout=patience(60),
    )  # fmt: skip
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert not psutil.pid_exists(int(told.read_text()))
