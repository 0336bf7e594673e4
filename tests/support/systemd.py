"""A systemd as pid 1 of namespaces of its own, on this machine's root, which it cannot write to."""

from __future__ import annotations

import contextlib
import subprocess

import psutil

from sockproxy.cgroup import create_owned
from tests.support.scale import patience
from tests.support.sockets import eventually

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a target pulls in on a machine is not for the test.
TARGETS = ("basic", "sysinit", "shutdown", "slices", "sockets", "multi-user")
# No file of the machine but those that it reads; $PREPARE has what else is to be mounted.
BOOT = """\
echo $$ >"$GROUP/cgroup.procs"
exec unshare --pid --mount --cgroup --net --uts --ipc --fork --kill-child --mount-proc sh -ec '
    mount --make-rprivate /
    ip link set lo up
    mount -t tmpfs none /run -o mode=755
    umount -R /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    mount -t bpf bpf /sys/fs/bpf
    # Or it would set fs.file-max, and the identity of a machine that has none.
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
    eval "$PREPARE"
    mount -o remount,bind,ro /
    exec /lib/systemd/systemd --unit=basic.target --log-target=console --show-status=no'
"""


def write_targets(folder):
    """Targets that want nothing, in a folder of units."""
    for each in TARGETS:
        (folder / f"{each}.target").write_text("[Unit]\nDefaultDependencies=no\n")


class Systemd:
    """One that runs."""

    def __init__(self, process):
        self._process = process
        eventually(self._answers, 20)

    def _answers(self):
        assert self._process.poll() is None, self._process.stdout.read()
        found = psutil.Process(self._process.pid).children()
        self._pid = found[0].pid if found else 0
        return found and self.run("systemctl", "is-active", "basic.target").stdout == "active\n"

    def run(self, *argv, **options):
        """Run a command inside; what subprocess.run() returns."""
        enter = ["nsenter", "--target", str(self._pid), "--pid", "--mount", "--net", "--cgroup"]
        return subprocess.run(
            [*enter, *argv], capture_output=True, text=True, timeout=patience(120), **options
        )

    def succeed(self, *argv, **options):
        """Run a command inside that has to succeed; its output."""
        done = self.run(*argv, **options)
        assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
        return done.stdout

    def systemctl(self, *arguments):
        done = self.run("systemctl", *arguments)
        why = self.run("systemctl", "status", "--no-pager", "--full", arguments[-1])
        assert done.returncode == 0, done.stderr + why.stdout

    def show(self, unit, what):
        """A property of a unit."""
        return self.succeed("systemctl", "show", "-P", what, unit).strip()


@contextlib.contextmanager
def booted(unit_path, prepare=""):
    """A Systemd for the length of a `with`. unit_path: where it finds units, as it is to
    SYSTEMD_UNIT_PATH. prepare: commands before it begins, as for /bin/sh."""
    group = create_owned("systemd")
    process = subprocess.Popen(
        ["sh", "-ec", BOOT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": PATH, "GROUP": group.path, "SYSTEMD_UNIT_PATH": unit_path,
             "container": "test", "PREPARE": prepare},
    )  # fmt: skip
    try:
        yield Systemd(process)
    finally:
        process.kill()  # and --kill-child all that is inside
        process.communicate()
        group.remove()
