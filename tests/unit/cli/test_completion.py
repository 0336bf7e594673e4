"""What a shell is told that completes a command line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from sockproxy.rundir import take_name
from tests.support.proxy import ROOT

PROGRAM = "import sys; sys.argv[0] = 'sockproxy'; from sockproxy.cli.main import main; main()"


def completed(line):
    """The words that may follow, where the line's last one is begun."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=ROOT, check=True,
        env={**os.environ, "_SOCKPROXY_COMPLETE": "bash_complete",
             "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
    )  # fmt: skip
    return [each.partition(",")[2] for each in done.stdout.splitlines() if each]


@pytest.mark.parametrize(
    ("line", "words"),
    [("sockproxy rel", ["reload"]), ("sockproxy proxy --bal", ["--balance"]),
     ("sockproxy proxy --balance so", ["source"]), ("sockproxy nonsense", [])],
)  # fmt: skip
def test_commands_options_and_choices(line, words):
    assert completed(line) == words


@pytest.mark.parametrize("command", ["status", "connections", "reload"])
def test_names_of_what_runs(command):
    taken = take_name("completed")
    with socket.socket(socket.AF_UNIX) as control:
        taken.bind(control)
        control.listen()
        assert completed(f"sockproxy {command} compl") == ["completed"]
        assert completed(f"sockproxy {command} other") == []
    taken.release()
