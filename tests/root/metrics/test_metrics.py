"""Metrics as Prometheus has them: a real one scrapes, promtool looks for faults."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request

import pytest

from tests.support.bypass import ALL_READERS, NAME, sockproxy, status
from tests.support.proxy import ROOT, pattern_server, run_flows, running_proxy, started
from tests.support.scale import patience
from tests.support.servers import free_port, listens, run, serving
from tests.support.sockets import eventually, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]
DOCS = ROOT / "docs" / "prometheus"
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: sockproxy
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@contextlib.contextmanager
def metrics():
    """`sockproxy metrics`; its port."""
    port = free_port()
    argv = [sys.executable, "-m", "sockproxy", "metrics", "--listen", f"127.0.0.1:{port}"]
    with started(*argv, ready=lambda: listens(port), cwd=ROOT) as process:
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience(10)) == 0


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=patience(10)) as page:
        return page.read().decode()


def sample(text, name, *labels):
    """The value of the one that has these labels among its own."""
    found = [
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith((f"{name}{{", f"{name} ")) and all(each in line for each in labels)
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


@pytest.mark.tools("promtool")
def test_promtool_finds_no_fault_in_what_is_shown():
    with pattern_server() as server, running_proxy(server) as proxy, metrics() as port:
        assert not run_flows(proxy.address, count=5, up=10_000, down=10_000)
        proxy.settled()
        text = scrape(port)
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text, text=True, capture_output=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        name = f'proxy="{proxy.name}"'
        assert sample(text, "sockproxy_proxy_connections_ended_total", name) == 10
        assert sample(text, "sockproxy_proxy_connection_size_bytes_count", name) == 10


@pytest.mark.tools("promtool")
def test_promtool_finds_no_fault_in_the_rules():
    run("promtool", "check", "rules", DOCS / "alerts.yml")
    run("promtool", "test", "rules", DOCS / "alerts_test.yml")


def test_the_dashboard_and_the_alerts_ask_for_what_there_is():
    """Each family is shown, with or without samples."""
    text = sockproxy("metrics", "--once")
    shown = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    shown |= {f"{name}_bucket" for name in shown}
    board = json.loads((DOCS / "dashboard.json").read_text())
    asked = "".join(
        target["expr"] for panel in board["panels"] for target in panel.get("targets", [])
    )
    rules = (DOCS / "alerts.yml").read_text()
    names = set(re.findall(r"sockproxy_\w+", asked + rules))
    assert len(names) > 15
    assert names <= shown


@pytest.mark.tools("prometheus")
def test_a_real_prometheus_scrapes(tmp_path):
    with pattern_server() as server, running_proxy(server) as proxy, metrics() as port:
        assert not run_flows(proxy.address, count=5, up=10_000, down=10_000)
        own = free_port()
        config = tmp_path / "prometheus.yml"
        config.write_text(CONFIG.format(port=port, rules=DOCS / "alerts.yml"))
        with serving(
            own, "prometheus", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{own}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
        ):  # fmt: skip

            def ended():
                query = urllib.parse.quote(
                    f'sockproxy_proxy_connections_ended_total{{proxy="{proxy.name}"}}'
                )
                url = f"http://127.0.0.1:{own}/api/v1/query?query={query}"
                with urllib.request.urlopen(url, timeout=patience(10)) as answer:
                    result = json.load(answer)["data"]["result"]
                return result and float(result[0]["value"][1]) == 10

            eventually(ended, seconds=30)


@pytest.mark.on("bypass")
def test_a_bypass_is_shown(group):
    sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS)
    try:
        one, other = tcp_pair()
        with one, other:
            for _ in range(20):
                one.sendall(b"ping")
                other.recv(4)
                other.sendall(b"pong")
                one.recv(4)
            # Not through a port: Prometheus' own connection would be one of the bypass.
            text, told = sockproxy("metrics", "--once"), status()
        name = f'bypass="{NAME}"'
        for way, key in (("bypassed", "bypassed"), ("tcp", "passed")):
            shown = sample(text, "sockproxy_bypass_sent_messages_total", name, f'way="{way}"')
            assert shown == told[f"{key}_messages"]
        assert sample(text, "sockproxy_bypass_connections_paired_total", name) == told["paired"]
    finally:
        sockproxy("detach", NAME)


def test_a_bad_port_and_a_taken_one_are_one_line():
    with metrics() as port:
        done = sockproxy("metrics", "--listen", f"127.0.0.1:{port}", code=1)
        assert "address already in use" in done.lower()
        assert len(done.splitlines()) == 1
    assert "ADDR:PORT" in sockproxy("metrics", "--listen", "nowhere", code=2)


def test_once():
    text = sockproxy("metrics", "--once")
    assert "sockproxy_build_info" in text
