"""The Debian package: installed over a copy of this machine's root, run by its systemd, removed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch

import pytest

from package.agent import UNUSED, install_client
from tests.support.proxy import ROOT
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually
from tests.support.systemd import booted, write_targets

UNIT = "sockproxy-proxy@edge.service"
SOCKET = "sockproxy-proxy@edge.socket"
RUNTIME = "/run/sockproxy-proxy"
CONFIG = "/etc/sockproxy/edge.toml"
# Where a machine's files are written to, they go with it.
APART = """
mkdir -p {units}
mount --bind {folder} {units}
mount -t tmpfs none /tmp -o mode=1777
for each in etc usr var; do
    mkdir -p /run/over/$each/upper /run/over/$each/work
    mount -t overlay none /$each -o \\
        lowerdir=/$each,upperdir=/run/over/$each/upper,workdir=/run/over/$each/work
done
rm -f /usr/sbin/policy-rc.d  # a container's, which would not let services be stopped
"""
UNITS = "/run/units"
PACKAGE = "sockproxy.deb"
# What dpkg, man-db and systemd-sysusers keep of what was installed once.
KEPT = re.compile(
    r"/etc/(passwd|group|shadow|gshadow)-?|/etc/\.pwd\.lock|/var/(lib/(dpkg|systemd)|log|cache)/.*"
)
ECHO = """\
import socket, socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while got := self.request.recv(1 << 16):
            self.request.sendall(got)
socketserver.ThreadingTCPServer(("127.0.0.1", 9000), Echo).serve_forever()
"""
# One connection, on which COUNT different messages are said and heard.
TALK = """\
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30) as sock:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number in range(int(sys.argv[2])):
        said, heard = b"%08d" % number * 8, b""
        sock.sendall(said)
        while len(heard) < len(said):
            part = sock.recv(1000)
            assert part, number
            heard += part
        assert heard == said
"""
SERVICE = """\
log-format = "journal"

[[service]]
name = "web"
listen = ["127.0.0.1:{port}", "systemd:web"]
upstream = "localhost:9000"
mark = 7
"""

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.tools(
        "clang", "dpkg-buildpackage", "dh", "lintian", "man", "zsh", "fish", "unshare"
    ),
]


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deb")
    command = [ROOT / "package/build_deb", sys.executable, folder]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.deb")
    return found


@pytest.fixture
def units(deb, tmp_path):
    """What the package's units are used with, and the package."""
    write_targets(tmp_path)
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "talk.py").write_text(TALK)
    (tmp_path / "echo.service").write_text(
        f"[Service]\nExecStart=/usr/bin/python3 {UNITS}/echo.py\n"
    )
    (tmp_path / SOCKET).write_text(
        "[Socket]\nListenStream=127.0.0.1:8080\nFileDescriptorName=web\n"
    )
    quick = tmp_path / f"{UNIT}.d/quick.conf"
    quick.parent.mkdir()
    quick.write_text(f"[Service]\nWatchdogSec={patience(2)}\n")
    for each in ("systemd-tmpfiles-setup", "systemd-journal-flush"):  # journald would have them
        (tmp_path / f"{each}.service").symlink_to("/dev/null")
    shutil.copy(deb, tmp_path / PACKAGE)
    return tmp_path


@pytest.fixture
def machine(units):
    """A machine of which nobody minds what is installed."""
    prepare = APART.format(units=UNITS, folder=units)
    with booted(f"{UNITS}:/lib/systemd/system", prepare) as systemd:
        yield systemd


def files(machine):
    """All that is there, but for what may stay."""
    found = machine.run("find", "/etc", "/usr", "/var", RUNTIME, "-xdev").stdout
    return {each for each in found.splitlines() if not KEPT.fullmatch(each)}


class Proxy:
    """The one that UNIT runs, seen by root."""

    def __init__(self, machine):
        self._machine = machine

    def configure(self, port, more=""):
        text = more + SERVICE.format(port=port)
        self._machine.succeed("sh", "-c", f"cat >{CONFIG}", input=text)

    def can_talk(self, port):
        return (
            self._machine.run("/usr/bin/python3", f"{UNITS}/talk.py", str(port), "1").returncode
            == 0
        )

    def talk(self, port, count=10):
        self._machine.succeed("/usr/bin/python3", f"{UNITS}/talk.py", str(port), str(count))

    @property
    def pid(self):
        return self._machine.show(UNIT, "MainPID")

    @property
    def runs(self):
        return self._machine.show(UNIT, "ActiveState") == "active"

    def status(self):
        told = json.loads(self._machine.succeed("sockproxy", "status", "--json"))
        (proxy,) = told["proxies"]
        return proxy

    def journal(self):
        lines = self._machine.succeed("journalctl", "--unit", UNIT, "--output", "json")
        return [json.loads(line) for line in lines.splitlines()]


def test_an_image_with_the_client_can_run_the_agent(deb, tmp_path):
    """What package/Containerfile.agent puts together, run by Debian's own Python."""
    subprocess.run(["dpkg", "--extract", deb, tmp_path], check=True)
    library, wanted = tmp_path / "usr/lib/sockproxy", "the agent needs the client of Kubernetes"
    code = f"""import sys
sys.path.insert(0, {str(library)!r})
from sockproxy.cli import main
main()
"""
    argv = ["/usr/bin/python3", "-I", "-S", "-c", code, "agent", "--node", "node"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert wanted in done.stderr
    install_client(library)
    assert not (library / UNUSED).exists()
    done = subprocess.run([*argv, "--kubeconfig", "/none"], capture_output=True, text=True)
    assert "find the API server: " in done.stderr  # the client's own words follow


def test_lintian_finds_no_error(deb):
    done = subprocess.run(
        ["lintian", "--no-cfg", "--allow-root", "--fail-on", "error", deb],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_installed_and_removed(machine):
    """The command, its pages and completions; then nothing of it is left."""
    before = files(machine)
    machine.succeed("dpkg", "--install", f"{UNITS}/{PACKAGE}")
    assert machine.succeed("sockproxy", "--version").startswith("sockproxy, version ")
    assert "sockproxy_" in machine.succeed("sockproxy", "metrics", "--once")
    assert "--config" in machine.succeed("man", "sockproxy-proxy")
    assert "sockproxy-proxy" in machine.succeed("man", "sockproxy")
    # As bash asks: the words, and which of them is begun.
    bash = (
        ". /usr/share/bash-completion/completions/sockproxy;"
        " COMP_WORDS=(sockproxy do) COMP_CWORD=1; _sockproxy_completion sockproxy;"
        ' echo "${COMPREPLY[@]}"'
    )
    assert machine.succeed("bash", "-c", bash) == "doctor\n"
    assert machine.succeed("fish", "-c", "complete -C 'sockproxy relo'").startswith("reload")
    zsh = "autoload -Uz compinit && compinit -u -D && echo $_comps[sockproxy]"
    assert machine.succeed("zsh", "-fc", zsh) == "_sockproxy\n"
    assert machine.succeed("id", "-un", "sockproxy") == "sockproxy\n"
    machine.succeed("dpkg", "--purge", "sockproxy")
    assert files(machine) == before


def test_the_proxy_under_systemd(machine):
    machine.succeed("dpkg", "--install", f"{UNITS}/{PACKAGE}")
    proxy = Proxy(machine)
    proxy.configure(80)
    machine.systemctl("start", "systemd-journald.service", "echo.service")
    eventually(lambda: proxy.can_talk(9000), 20)

    # Started by the first client, who is served; and a port that is root's elsewhere.
    machine.systemctl("start", SOCKET)
    proxy.talk(8080)
    proxy.talk(80)
    assert machine.show(UNIT, "ActiveState") == "active"
    assert machine.show(UNIT, "User") == "sockproxy"

    # Without root's rights it has the kernel move the bytes, and a cgroup of its own.
    eventually(lambda: machine.show(UNIT, "StatusText") == "accelerated", 60)
    proxy.talk(80, scaled(500))
    told = proxy.status()
    assert told["redirected"] > told["pumped"], told
    group = machine.succeed("cat", f"/proc/{proxy.pid}/cgroup").splitlines()[-1]
    assert f"/{UNIT}/sockproxy/edge." in group

    # A reload says whether it was done.
    proxy.configure(81)
    machine.systemctl("reload", UNIT)
    proxy.talk(81)
    pid = proxy.pid
    proxy.configure(82, "surprise = 1\n")
    assert machine.run("systemctl", "reload", UNIT).returncode != 0
    proxy.talk(81)
    assert proxy.pid == pid
    journal = proxy.journal()
    assert any("surprise" in each["MESSAGE"] and each["PRIORITY"] == "4" for each in journal)
    assert any("listening on" in each["MESSAGE"] and each["PRIORITY"] == "6" for each in journal)

    # Stopped by a signal it is silent, and systemd notices.
    proxy.configure(81)
    machine.succeed("kill", "-STOP", pid)
    eventually(lambda: machine.show(UNIT, "NRestarts") == "1" and proxy.runs, 60)
    assert proxy.pid != pid
    proxy.talk(8080)

    # Away with the package go its services.
    machine.succeed("dpkg", "--purge", "sockproxy")
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert machine.run("test", "-e", RUNTIME).returncode == 1


def test_each_library_in_it_has_a_licence(deb):
    """Debian's file of licences names all that is not sockproxy's own."""
    listed = subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True)
    found = re.findall(r"\./(usr/lib/sockproxy/[^/\n]+/?)$", listed.stdout, re.MULTILINE)
    told = re.findall(r"usr/lib/\S+", (ROOT / "package/debian/copyright").read_text())
    theirs = {
        each for each in found if not each.endswith((".dist-info/", "/sockproxy/", "__pycache__/"))
    }
    assert theirs
    missing = {each for each in theirs if not any(fnmatch(f"{each}x", one) for one in told)}
    assert not missing
