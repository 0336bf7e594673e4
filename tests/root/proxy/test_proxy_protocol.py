"""Real servers that are told who the client is: nginx, and HAProxy in front of it."""

from __future__ import annotations

import contextlib

import pytest

from tests.support.haproxy import haproxy
from tests.support.nginx import http, nginx
from tests.support.proxy import running_proxy
from tests.support.servers import free_port, run

pytestmark = [pytest.mark.root, pytest.mark.bpf]

TOLD = """
server {{
    listen 127.0.0.1:{port} proxy_protocol;
    location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_server_port\\n"; }}
}}
"""
HAPROXY = """
listen inward
    bind 127.0.0.1:{port} accept-proxy
    server nginx 127.0.0.1:{behind} send-proxy-v2
"""


@contextlib.contextmanager
def told(folder):
    """An nginx that is told; its port."""
    port = free_port()
    with nginx(folder, http(TOLD.format(port=port)), port):
        yield port


def ask(proxy, source):
    return run("curl", "-sS", "--interface", source, "http://{}:{}/".format(*proxy.address))


@pytest.mark.tools("nginx", "curl")
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("option", [[], ["--relay"]], ids=["auto", "relay"])
def test_nginx_knows_the_client(tmp_path, version, option):
    with (
        told(tmp_path) as port,
        running_proxy(("127.0.0.1", port), "--send-proxy", version, *option) as proxy,
    ):
        for source in ("127.0.0.1", "127.0.0.7"):
            assert ask(proxy, source) == f"{source} {proxy.address[1]}\n"


@pytest.mark.tools("nginx", "curl", "haproxy")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_takes_it_and_hands_it_on(tmp_path, version):
    with told(tmp_path) as behind:
        port = free_port()
        text = HAPROXY.format(port=port, behind=behind)
        with (
            haproxy(tmp_path, text, port),
            running_proxy(("127.0.0.1", port), "--send-proxy", version) as proxy,
        ):
            assert ask(proxy, "127.0.0.9") == f"127.0.0.9 {proxy.address[1]}\n"
