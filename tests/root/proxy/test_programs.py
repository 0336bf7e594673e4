"""Real programs through the proxy, each with its real server."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.needs import find_program
from tests.support.proxy import running_proxy, started
from tests.support.servers import free_port, iperf3, iperf3_server, listens, run

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.fixture(params=[[], ["--eager"], ["--relay"]], ids=["auto", "eager", "relay"])
def front(request):
    """Starts a proxy before a port; checks afterwards that it moved bytes as it should."""

    @contextmanager
    def start(port, *options):
        with running_proxy(("127.0.0.1", port), *request.param, *options) as proxy:
            yield proxy
            status = proxy.settled()
            assert status["redirected"] + status["pumped"] > 0
            if request.param:
                assert (status["redirected"] > 0) == (request.param == ["--eager"])

    return start


@pytest.fixture
def files(tmp_path):
    """A directory with files of many sizes, and their checksums."""
    sums = {}
    for name, size in {"empty": 0, "one": 1, "small": 1000, "large": 200_000_000}.items():
        data = hashlib.shake_128(name.encode()).digest(size)
        (tmp_path / name).write_bytes(data)
        sums[name] = hashlib.sha256(data).hexdigest()
    return tmp_path, sums


@pytest.mark.tools("curl")
def test_curl(front, files):
    folder, sums = files
    port = free_port()
    server = [sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1"]
    with (
        started(*server, "--directory", folder, ready=lambda: listens(port)),
        front(port) as proxy,
    ):
        for name, expected in sums.items():
            url = f"http://127.0.0.1:{proxy.address[1]}/{name}"
            run("curl", "-sSf", "-o", folder / "got", url)
            assert hashlib.sha256((folder / "got").read_bytes()).hexdigest() == expected


@pytest.mark.tools("redis-server", "redis-benchmark")
def test_redis_benchmark(front, tmp_path):
    port = free_port()
    server = [find_program("redis-server"), "--port", port, "--save", "", "--dir", tmp_path]
    with started(*server, ready=lambda: listens(port)), front(port) as proxy:
        for extra in (
            ["-n", "5000", "-t", "set,get,lrange_100"],
            ["-n", "50000", "-t", "set,get,mset", "-P", "16"],
            ["-n", "2000", "-t", "set,get,mset", "-d", "100000"],
        ):
            out = run("redis-benchmark", "-p", proxy.address[1], "-q", *extra)
            assert "error" not in out.lower(), out
            assert out.count("requests per second") >= 3, out


@pytest.fixture
def postgres_folder():
    """A directory of PostgreSQL's own user: as root it will not run."""
    with tempfile.TemporaryDirectory() as folder:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        yield Path(folder)


@pytest.mark.tools("initdb", "postgres", "pgbench")
def test_pgbench(front, postgres_folder):
    port, data = free_port(), postgres_folder
    user = pwd.getpwnam("postgres")
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": data}
    run("initdb", "-D", data, "-A", "trust", "-U", "bench", **as_user)
    server = [find_program("postgres"), "-D", data, "-p", port, "-k", data]
    with started(*server, ready=lambda: listens(port), **as_user), front(port) as proxy:
        where = ["-h", "127.0.0.1", "-p", proxy.address[1], "-U", "bench", "postgres"]
        run("pgbench", "-i", "-s", "5", *where)
        for mode in ("simple", "prepared"):
            out = run("pgbench", "-c", "8", "-j", "2", "-T", "2", "-M", mode, *where)
            assert re.search(r"number of failed transactions: 0 ", out), out
        assert "number of failed transactions: 0 " in run(
            "pgbench", "-C", "-c", "4", "-T", "1", "-S", *where
        )


@pytest.mark.tools("nginx", "wrk")
def test_wrk_and_nginx(front, files, tmp_path):
    folder, _ = files
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"worker_processes 1; pid {tmp_path}/pid; daemon off; error_log stderr; user root;"
        "events { worker_connections 1024; }"
        "http { access_log off; sendfile on; keepalive_requests 100000;"
        f"server {{ listen 127.0.0.1:{port} backlog=1024; root {folder}; }} }}"
    )
    server = [find_program("nginx"), "-c", config, "-p", tmp_path]
    with started(*server, ready=lambda: listens(port)), front(port) as proxy:
        for name, header in (("small", []), ("small", ["-H", "Connection: close"]), ("large", [])):
            url = f"http://127.0.0.1:{proxy.address[1]}/{name}"
            # wrk calls it an error when a response takes longer, as 50 large ones together may.
            out = run("wrk", "-t", "2", "-c", "50", "-d", "2s", "--timeout", "60s", *header, url)
            assert "Socket errors" not in out, out
            assert "Non-2xx" not in out, out
            assert not re.search(r"\b0 requests in", out) or name == "large", out


@pytest.mark.tools("iperf3")
@pytest.mark.parametrize(
    "mode", [[], ["-R"], ["-P", "8"], ["--bidir", "-P", "8"], ["-Z"], ["-l", "64", "-N"]]
)
def test_iperf3(front, mode):
    with iperf3_server() as port, front(port) as proxy:
        report = iperf3(proxy.address[1], "-t", "2", *mode)
        assert "error" not in report
        assert report["end"]["sum_received"]["bytes"] > 1_000_000
