"""cgroup/: the units that attach at boot, as systemd reads them and as it runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sockproxy.cgroup import create_owned
from tests.support.proxy import ROOT
from tests.support.schema import check_document
from tests.support.sockets import eventually

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNITS = ROOT / "cgroup"
COMMAND = Path(sys.executable).with_name("sockproxy")
BYPASS = "sockproxy-bypass@web.service"
BYPASSES = (BYPASS, "sockproxy-bypass@pods.service")
EXAMPLES = ("nginx.service", "redis-server.service")
# Two ends in one process, which ask and answer: what a service of the slice does.
CONVERSE = """\
import socket
with socket.create_server(("127.0.0.1", 6379)) as listener:
    one = socket.create_connection(listener.getsockname())
    other, _ = listener.accept()
    for each in (one, other):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(50):
        for source, target in ((one, other), (other, one)):
            source.sendall(b"x")
            assert target.recv(1) == b"x"
"""
# As pid 1 of namespaces of its own: no unit but those of the test, no file of the machine
# but those that it reads.
BOOT = """\
echo $$ >"$GROUP/cgroup.procs"
exec unshare --pid --mount --cgroup --net --uts --ipc --fork --kill-child --mount-proc sh -ec '
    mount --make-rprivate /
    ip link set lo up
    mount -t tmpfs none /run
    umount -R /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    mount -t bpf bpf /sys/fs/bpf
    # Or it would set fs.file-max, and the identity of a machine that has none.
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
    mount -o remount,bind,ro /
    exec /lib/systemd/systemd --unit=basic.target --log-target=console --show-status=no'
"""


@pytest.fixture
def units(tmp_path):
    """A directory with our units and examples, and stubs of what they are added to."""
    shutil.copytree(UNITS, tmp_path, dirs_exist_ok=True)
    for each in (tmp_path / "example").iterdir():
        each.rename(tmp_path / each.name)
    unit = tmp_path / "sockproxy-bypass@.service"
    text = (
        unit.read_text()
        .replace("=sockproxy ", f"={COMMAND} ")
        .replace("+sock", f"+{COMMAND.parent}/sock")
    )
    text = text.replace("PrivateTmp=yes", "PrivateTmp=no")  # where a checkout may lie
    unit.write_text(text.replace("/etc/sockproxy/%i.env", f"{tmp_path}/%i.env"))
    (tmp_path / "talk.py").write_text(CONVERSE)
    for each in EXAMPLES:
        (tmp_path / each).write_text(
            f"[Service]\nType=oneshot\nExecStart={sys.executable} {tmp_path}/talk.py\n"
        )
    for each in ("basic", "sysinit", "shutdown", "slices", "multi-user"):
        (tmp_path / f"{each}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    return tmp_path


@pytest.mark.tools("systemd-analyze")
def test_systemd_takes_the_units(units):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *BYPASSES, "sockproxy.slice", *EXAMPLES],
        capture_output=True,
        text=True,
        timeout=60,
        env={"SYSTEMD_UNIT_PATH": str(units)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class Systemd:
    """A systemd that runs in namespaces of its own."""

    def __init__(self, process):
        self._process = process
        eventually(self._answers, 20)

    def _answers(self):
        assert self._process.poll() is None, self._process.stdout.read()
        found = psutil.Process(self._process.pid).children()
        self._pid = found[0].pid if found else 0
        return found and self.run("systemctl", "is-active", "basic.target").stdout == "active\n"

    def run(self, *argv):
        enter = ["nsenter", "--target", str(self._pid), "--pid", "--mount", "--net", "--cgroup"]
        return subprocess.run([*enter, *argv], capture_output=True, text=True, timeout=60)

    def systemctl(self, *arguments):
        done = self.run("systemctl", *arguments)
        why = self.run("systemctl", "status", "--no-pager", "--full", arguments[-1])
        assert done.returncode == 0, done.stderr + why.stdout

    def bypasses(self):
        return check_document(self.run(str(COMMAND), "status", "--json").stdout)["bypasses"]


@pytest.fixture
def systemd(units):
    """One that knows only `units`."""
    group = create_owned("systemd")
    process = subprocess.Popen(
        ["sh", "-ec", BOOT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": PATH, "GROUP": group.path, "SYSTEMD_UNIT_PATH": units, "container": "test"},
    )
    try:
        yield Systemd(process)
    finally:
        process.kill()  # and --kill-child all that is inside
        process.communicate()
        group.remove()


@pytest.mark.root
@pytest.mark.bpf
@pytest.mark.tools("systemctl", "ip", "nsenter", "unshare")
def test_under_systemd(systemd, units):
    """Attached before the service starts, changed by a reload, gone after a stop."""
    (units / "web.env").write_text(
        "OPTIONS=--allow 1-7000 --deny 443 --blocking-readers --any-reader\n"
    )
    systemd.systemctl("start", EXAMPLES[0])
    (bypass,) = systemd.bypasses()
    assert bypass["name"] == "web"
    assert bypass["cgroup"] == "/sys/fs/cgroup/sockproxy.slice/sockproxy-web.slice"
    assert bypass["rules"] == ["deny 443", "allow 1-7000"]
    assert (bypass["paired"], bypass["bypassed_messages"] > 80) == (1, True), bypass

    (units / "web.env").write_text("OPTIONS=--observe\n")
    systemd.systemctl("reload", BYPASS)
    systemd.systemctl("start", EXAMPLES[1])
    (bypass,) = systemd.bypasses()
    assert (bypass["mode"], bypass["rules"], bypass["paired"]) == ("observe", [], 2)

    systemd.systemctl("stop", BYPASS)
    assert systemd.bypasses() == []
