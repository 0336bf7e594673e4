"""A command that runs until it is told to end, as a process of a test."""

from __future__ import annotations

import contextlib
import subprocess
import sys

from tests.support.proxy import ROOT


@contextlib.contextmanager
def begun(says, *arguments):
    """`sockproxy ARGUMENTS`, once it has written a line on stderr with `says` in it; its process,
    with pipes of bytes. Killed at the end, if it has not ended."""
    argv = [sys.executable, "-m", "sockproxy", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, cwd=ROOT, **pipes) as process:
        try:
            said = b""
            while says.encode() not in (line := process.stderr.readline()):
                said += line
                assert line, f"it has ended: {said.decode()}"
            yield process
        finally:
            process.kill()
