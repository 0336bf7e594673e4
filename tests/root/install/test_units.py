"""cgroup/: the units, as systemd reads them and as it runs a bypass; test_deb.py has the proxy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.proxy import ROOT
from tests.support.schema import check_document
from tests.support.systemd import booted, write_targets

UNITS = ROOT / "cgroup"
COMMAND = Path(sys.executable).with_name("sockproxy")
BYPASS = "sockproxy-bypass@web.service"
BYPASSES = (BYPASS, "sockproxy-bypass@pods.service")
PROXY = ("sockproxy-proxy@edge.service", "sockproxy-proxy@edge.socket")
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


@pytest.fixture
def units(tmp_path):
    """A directory with our units and examples, and stubs of what they are added to."""
    shutil.copytree(UNITS, tmp_path, dirs_exist_ok=True)
    for each in (tmp_path / "example").iterdir():
        each.rename(tmp_path / each.name)
    for unit in tmp_path.glob("sockproxy-*@.service"):
        text = unit.read_text()
        for before, after in (
            ("=sockproxy ", f"={COMMAND} "),
            ("+sock", f"+{COMMAND.parent}/sock"),
            ("PrivateTmp=yes", "PrivateTmp=no"),  # where a checkout may lie
            ("/etc/sockproxy/%i.env", f"{tmp_path}/%i.env"),
        ):
            text = text.replace(before, after)
        unit.write_text(text)
    (tmp_path / "talk.py").write_text(CONVERSE)
    for each in EXAMPLES:
        (tmp_path / each).write_text(
            f"[Service]\nType=oneshot\nExecStart={sys.executable} {tmp_path}/talk.py\n"
        )
    write_targets(tmp_path)
    return tmp_path


@pytest.mark.tools("systemd-analyze")
def test_systemd_takes_the_units(units):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *BYPASSES, "sockproxy.slice", *PROXY, *EXAMPLES],
        capture_output=True,
        text=True,
        timeout=60,
        env={"SYSTEMD_UNIT_PATH": str(units)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_example_is_as_it_should_be(units):
    done = subprocess.run([COMMAND, "check", units / "edge.toml"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def bypasses(systemd):
    return check_document(systemd.succeed(str(COMMAND), "status", "--json"))["bypasses"]


@pytest.fixture
def systemd(units):
    """One that knows only `units`."""
    with booted(units) as systemd:
        yield systemd


@pytest.mark.root
@pytest.mark.bpf
@pytest.mark.tools("systemctl", "ip", "nsenter", "unshare")
def test_under_systemd(systemd, units):
    """Attached before the service starts, changed by a reload, gone after a stop."""
    (units / "web.env").write_text(
        "OPTIONS=--allow 1-7000 --deny 443 --blocking-readers --any-reader\n"
    )
    systemd.systemctl("start", EXAMPLES[0])
    (bypass,) = bypasses(systemd)
    assert bypass["name"] == "web"
    assert bypass["cgroup"] == "/sys/fs/cgroup/sockproxy.slice/sockproxy-web.slice"
    assert bypass["rules"] == ["deny 443", "allow 1-7000"]
    assert (bypass["paired"], bypass["bypassed_messages"] > 80) == (1, True), bypass

    (units / "web.env").write_text("OPTIONS=--observe\n")
    systemd.systemctl("reload", BYPASS)
    systemd.systemctl("start", EXAMPLES[1])
    (bypass,) = bypasses(systemd)
    assert (bypass["mode"], bypass["rules"], bypass["paired"]) == ("observe", [], 2)

    systemd.systemctl("stop", BYPASS)
    assert bypasses(systemd) == []
