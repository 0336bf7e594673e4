"""Real clients whose first words are heard: HAProxy and nginx say who the client is, curl and
OpenSSL whom they ask for."""

from __future__ import annotations

import contextlib
import os
import subprocess

import pytest

from tests.root.proxy.test_config import configured
from tests.support.haproxy import haproxy
from tests.support.nginx import http, nginx
from tests.support.proxy import pattern_server, run_flows, running_proxy
from tests.support.scale import patience
from tests.support.servers import free_port, run

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SECURE = """
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
        location / {{ return 200 "{says} for $ssl_server_name\\n"; }}
    }}
"""
PLAIN = """
    server {{
        listen 127.0.0.1:{port} proxy_protocol;
        location / {{ return 200 "$proxy_protocol_addr\\n"; }}
    }}
"""
STREAM_MODULE = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;"
STREAM = """
stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{to}; proxy_protocol on; }} }}
"""
HAPROXY = """
listen outward
    bind 127.0.0.1:{port}
    server sockproxy 127.0.0.1:{to} {says}
"""


@contextlib.contextmanager
def behind(folder, *options):
    """A proxy in front of a server that answers with the client that it is told of."""
    port = free_port()
    with (
        nginx(folder, http(PLAIN.format(port=port)), port),
        running_proxy(("127.0.0.1", port), "--accept-proxy", "127.0.0.1", "--send-proxy", "v2",
                      *options) as proxy,
    ):  # fmt: skip
        yield proxy


def ask(port, source):
    return run("curl", "-sS", "--interface", source, f"http://127.0.0.1:{port}/")


@pytest.mark.tools("haproxy", "nginx", "curl")
@pytest.mark.parametrize("says", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
def test_haproxy_says_who_the_client_is(tmp_path, says):
    with behind(tmp_path / "behind") as proxy:
        port = free_port()
        text = HAPROXY.format(port=port, to=proxy.address[1], says=says)
        with haproxy(tmp_path, text, port):
            for source in ("127.0.0.1", "127.0.0.8"):
                assert ask(port, source) == f"{source}\n"


@pytest.mark.tools("haproxy", "nginx", "curl")
def test_its_checks_are_no_clients_of_anybody(tmp_path):
    """HAProxy's checks say LOCAL: it is they who come."""
    with behind(tmp_path / "behind") as proxy:
        port = free_port()
        says = "send-proxy-v2 check check-send-proxy inter 100ms"
        text = HAPROXY.format(port=port, to=proxy.address[1], says=says)
        with haproxy(tmp_path, text, port):
            for _ in range(20):
                assert ask(port, "127.0.0.8") == "127.0.0.8\n"
        assert not proxy.status()["connections_refused"]


@pytest.mark.tools("nginx", "curl")
def test_nginx_says_who_the_client_is(tmp_path):
    with behind(tmp_path / "behind") as proxy:
        port = free_port()
        text = STREAM.format(port=port, to=proxy.address[1])
        with nginx(tmp_path / "before", text, port, modules=STREAM_MODULE):
            assert ask(port, "127.0.0.6") == "127.0.0.6\n"


@pytest.mark.tools("haproxy")
@pytest.mark.on("splice")
@pytest.mark.parametrize("option", [[], ["--eager"], ["--relay"]], ids=["auto", "eager", "relay"])
def test_every_byte_behind_a_header_is_there(tmp_path, option):
    """Also where the kernel moves them: what was taken out is no part of its counts."""
    with (
        pattern_server() as server,
        running_proxy(server, "--accept-proxy", "127.0.0.1", *option) as proxy,
    ):
        port = free_port()
        text = HAPROXY.format(port=port, to=proxy.address[1], says="send-proxy-v2")
        with haproxy(tmp_path, text, port):
            assert run_flows(("127.0.0.1", port), count=20, up=300_000, down=300_000) == []
        assert not proxy.settled()["connections_refused"]


# -- by name --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) for anybody."""
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "certificate.pem", folder / "key.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=example.test", "-out", paths[0],
        "-keyout", paths[1])  # fmt: skip
    return paths


@pytest.fixture
def routed(tmp_path, certificate):
    """A proxy with two TLS servers, "one" and "two", behind it; "one" is the rest's."""
    ports = [free_port(), free_port()]
    names = {"certificate": certificate[0], "key": certificate[1]}
    servers = [
        SECURE.format(port=port, says=says, **names)
        for port, says in zip(ports, ("one", "two"), strict=True)
    ]
    text = f"""
        log-level = "debug"
        [[service]]
        listen = "127.0.0.1:0"
        upstream = "127.0.0.1:{ports[0]}"
        [[service.route]]
        name = ["two.test", "*.two.test"]
        upstream = "127.0.0.1:{ports[1]}"
    """
    with (
        nginx(tmp_path / "nginx", http(*servers), ports[1]),
        configured(tmp_path, text) as proxy,
    ):
        yield proxy


@pytest.mark.tools("nginx", "curl", "openssl")
@pytest.mark.parametrize("version", ["--tlsv1.3", "--tls-max=1.2"])
def test_curl_has_whom_it_asks_for(routed, version):
    port = routed.address[1]
    option = version.split("=")
    for name, says in (("two.test", "two"), ("a.b.two.test", "two"), ("other.test", "one")):
        answer = run("curl", "-sSk", *option, "--resolve", f"{name}:{port}:127.0.0.1",
                     f"https://{name}:{port}/")  # fmt: skip
        assert answer == f"{says} for {name}\n"
    answer = run("curl", "-sSk", *option, f"https://127.0.0.1:{port}/")
    assert answer == "one for \n"


@pytest.mark.tools("nginx", "openssl")
@pytest.mark.parametrize(
    "options",
    [["-servername", "two.test"], ["-servername", "two.test", "-tls1_2"],
     ["-servername", "two.test", "-split_send_frag", "100", "-max_send_frag", "512"]],
    ids=["tls1.3", "tls1.2", "fragments"],
)  # fmt: skip
def test_openssl_has_whom_it_asks_for(routed, options):
    done = subprocess.run(
        ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{routed.address[1]}", *options],
        input=b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", capture_output=True, timeout=patience(20),
        env={**os.environ, "OPENSSL_CONF": "/dev/null"},
    )  # fmt: skip
    assert done.stdout.endswith(b"two for two.test\n"), done.stderr
