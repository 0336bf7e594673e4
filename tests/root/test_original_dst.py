"""As a sidecar stands: REDIRECT hides the address, the proxy finds it again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.support.namespace import Namespace
from tests.support.proxy import running_proxy
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


@pytest.mark.tools("iptables", "nft", "setpriv", "ip")
@pytest.mark.parametrize("tool", REDIRECTS)
@pytest.mark.parametrize(
    ("family", "host", "listen"),
    [(4, "127.0.0.1", f"127.0.0.1:{PORT}"), (6, "::1", f"[::]:{PORT}"),
     (4, "127.0.0.1", f"[::]:{PORT}")],
    ids=["v4", "v6", "v4-mapped"],
)  # fmt: skip
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
        client = in_namespace.socket(
            lambda: socket.create_connection(("127.0.0.1", PORT), patience(10))
        )
        with client, pytest.raises(ConnectionResetError):
            client.recv(1)
        proxy.says("not redirected")
