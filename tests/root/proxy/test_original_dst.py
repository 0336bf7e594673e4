"""As a sidecar stands: REDIRECT hides the address, the proxy finds it again."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys

import pytest

from tests.support.namespace import Namespace
from tests.support.proxy import ROOT, run_sockproxy, running_proxy
from tests.support.scale import patience
from tests.support.sockets import receive

pytestmark = [pytest.mark.root, pytest.mark.bpf]

PORT = 15001
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.fixture
def namespace():
    made = Namespace(f"sockproxy-test-{os.getpid()}")
    yield made
    made.remove()


@pytest.fixture
def in_namespace(namespace, monkeypatch):
    """Proxies started from here run in the namespace, as a group that is not redirected."""
    argv = ["ip", "netns", "exec", namespace.name, "setpriv", "--regid", "7777", "--clear-groups"]
    real = subprocess.Popen

    def popen(command, *rest, **options):
        if command[:3] == [sys.executable, "-m", "sockproxy"] and command[3] == "proxy":
            command = [*argv, *command]
        return real(command, *rest, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    return namespace


def by_iptables(family):
    program = "iptables" if family == 4 else "ip6tables"
    match = "-p tcp --dport 9000:9999 -m owner ! --gid-owner 7777"
    return [f"{program} -t nat -A OUTPUT {match} -j REDIRECT --to-ports {PORT}".split()]


def by_nft(family):
    table = f"{'ip' if family == 4 else 'ip6'} t"
    match = "meta skgid != 7777 tcp dport 9000-9999"
    return [
        ["nft", f"add table {table}"],
        ["nft", f"add chain {table} out {{ type nat hook output priority -100 ; }}"],
        ["nft", f"add rule {table} out {match} redirect to :{PORT}"],
    ]


REDIRECTS = {"iptables": by_iptables, "nft": by_nft}


def is_reset(port):
    """Whether a connection to the port here is reset, be it before connect() has returned."""
    try:
        with socket.create_connection(("127.0.0.1", port), patience(10)) as client:
            return client.recv(1) is None
    except ConnectionResetError:
        return True


@pytest.mark.tools("iptables", "nft", "setpriv", "ip")
@pytest.mark.parametrize("tool", REDIRECTS)
@pytest.mark.parametrize(
    ("family", "host", "listen"),
    [
        (4, "127.0.0.1", f"127.0.0.1:{PORT}"),
        (6, "::1", f"[::]:{PORT}"),
        (4, "127.0.0.1", f"[::]:{PORT}"),
    ],
    ids=["v4", "v6", "v4-mapped"],
)
def test_the_hidden_address_is_found(in_namespace, tool, family, host, listen):
    for argv in REDIRECTS[tool](family):
        in_namespace.run(*argv)
    sockets = in_namespace.socket(
        lambda: [
            socket.create_server((host, port), family=FAMILIES[family]) for port in (9001, 9002)
        ]
    )
    with running_proxy("original-dst", "--eager", listen=listen) as proxy:
        for listener in sockets:
            listener.settimeout(patience(10))
            client = in_namespace.socket(
                lambda where=listener: socket.create_connection(
                    (host, where.getsockname()[1]), patience(10)
                )
            )
            upstream, _ = listener.accept()
            with listener, client, upstream:
                upstream.settimeout(patience(10))
                client.sendall(b"to the right one")
                assert receive(upstream, 16) == b"to the right one"
                (pair,) = [each for each in proxy.connections() if not each["outcome"]]
                assert pair["upstream"][1] == listener.getsockname()[1]
                assert pair["forward"]["redirected"] == 16
            proxy.settled()


@pytest.mark.tools("setpriv", "ip")
def test_a_direct_connection_is_refused_rather_than_looped(in_namespace):
    with running_proxy("original-dst", listen=f"127.0.0.1:{PORT}") as proxy:
        assert in_namespace.socket(lambda: is_reset(PORT))
        proxy.says("not redirected")


def from_help(tool, mark):
    """The lines that `proxy --help` shows, for this port, as argv each."""
    text = run_sockproxy("proxy", "--help").stdout
    lines = [line.strip() for line in text.splitlines()]
    found = [shlex.split(line) for line in lines if line.startswith(f"{tool} ")]
    assert len(found) == {"iptables": 2, "nft": 4}[tool]
    change = {"80": "9001", "15001": str(PORT), ":15001": f":{PORT}"}
    for argv in found:
        for place, word in enumerate(argv):
            is_mark = word == "80" and argv[place - 1].endswith("mark")
            argv[place] = str(mark) if is_mark else change.get(word, word)
    return found


@pytest.fixture
def in_plain_namespace(namespace, monkeypatch):
    """Proxies started from here run in the namespace, as what is redirected."""
    real = subprocess.Popen

    def popen(command, *rest, **options):
        if command[:3] == [sys.executable, "-m", "sockproxy"] and command[3] == "proxy":
            command = ["ip", "netns", "exec", namespace.name, *command]
        return real(command, *rest, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    return namespace


@pytest.mark.tools("iptables", "nft", "ip")
@pytest.mark.parametrize("tool", REDIRECTS)
def test_a_redirect_that_takes_the_proxy_too_is_noticed(in_plain_namespace, tool):
    """With the last line of --help alone; it says which rule excludes the proxy."""
    lines = from_help(tool, 81)
    for argv in [argv for argv in lines if "81" not in argv]:
        in_plain_namespace.run(*argv)
    with running_proxy("original-dst", listen=f"127.0.0.1:{PORT}") as proxy:
        for _ in range(30):
            assert in_plain_namespace.socket(lambda: is_reset(9001))
        assert proxy.stderr().count("came back to it") == 1
        proxy.says("iptables -t nat -I OUTPUT -p tcp -m mark --mark 1 -j RETURN")
        assert proxy.settled()["connections_refused"] < 100


@pytest.mark.tools("iptables", "nft", "ip")
@pytest.mark.parametrize("tool", REDIRECTS)
def test_the_lines_of_help_exclude_the_mark(in_plain_namespace, tool):
    for argv in from_help(tool, 77):
        in_plain_namespace.run(*argv)
    listener = in_plain_namespace.socket(lambda: socket.create_server(("127.0.0.1", 9001)))
    options = ("--mark", "0x4d", "--eager")
    with listener, running_proxy("original-dst", *options, listen=f"127.0.0.1:{PORT}") as proxy:
        listener.settimeout(patience(10))
        client = in_plain_namespace.socket(
            lambda: socket.create_connection(("127.0.0.1", 9001), patience(10))
        )
        upstream, _ = listener.accept()
        with client, upstream:
            upstream.settimeout(patience(10))
            client.sendall(b"to the right one")
            assert receive(upstream, 16) == b"to the right one"
        assert "came back" not in proxy.stderr()
        proxy.settled()


@pytest.mark.tools("setpriv")
def test_a_mark_that_may_not_be_set():
    lost = "-net_admin,-net_raw,-sys_admin"
    argv = ["setpriv", "--bounding-set", lost, "--inh-caps", lost]
    argv += [sys.executable, "-m", "sockproxy", "proxy", "--relay", "--mark", "7"]
    argv += ["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("sockproxy: mark a socket with 7: ")
    assert len(done.stderr.splitlines()) == 1
