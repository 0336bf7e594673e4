"""Another machine, as far as mounts go: a mount namespace with a /run of its own, where commands
find no record of doctor, no proxies, and no bypasses but their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys

from tests.support.proxy import ROOT
from tests.support.scale import patience

BEGIN = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns
%s
echo ready
read -r _
"""


class Machine:
    """Commands run in it by run() and start(). What it holds ends with close()."""

    def __init__(self, setting=""):
        """setting: shell commands that change the mounts."""
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", BEGIN % setting],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._holder.stdout.readline() != "ready\n":
            self.close()
            raise AssertionError(f"no such machine: {setting}")

    def argv(self, *command):
        """What runs `command` there."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={ROOT}", *command]

    def run(self, *arguments, prefix=(), timeout=60, **options):
        """`sockproxy ARGUMENTS` to its end: the CompletedProcess, with text output. prefix: a
        command that runs it, such as setpriv with its options."""
        command = [*prefix, sys.executable, "-m", "sockproxy", *map(str, arguments)]
        done = subprocess.run(
            self.argv(*command),
            capture_output=True,
            text=True,
            timeout=patience(timeout),
            **options,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self._holder.communicate("\n")


@contextlib.contextmanager
def machine(setting=""):
    made = Machine(setting)
    try:
        yield made
    finally:
        made.close()
