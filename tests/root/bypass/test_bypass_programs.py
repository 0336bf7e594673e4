"""Real programs, each with its server, plain and under a bypass: with the same results."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sockproxy.rundir import sight
from tests.support.bypass import ALL_READERS, NAME
from tests.support.proxy import run_sockproxy, started
from tests.support.servers import (
    assert_all_arrived,
    free_port,
    iperf3,
    iperf3_server,
    listens,
    memcached,
    netserver,
    pgbench_sums,
    redis,
    run,
)
from tests.support.servers_clients import verify_memcached, verify_redis

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(120)]


# -- redis -------------------------------------------------------------------------------


@pytest.mark.tools("redis-server", "redis-benchmark")
def test_redis_benchmark(bypassed_messages):
    with redis() as port:
        for extra in (
            ["-n", "5000", "-t", "set,get,lrange_100"],
            ["-n", "30000", "-t", "set,get,mset", "-P", "16"],
            ["-n", "500", "-t", "set,get,mset", "-d", "100000"],
        ):
            out = run("redis-benchmark", "-p", port, "-q", *extra)
            assert "error" not in out.lower(), out
            assert out.count("requests per second") >= 3, out
        assert bypassed_messages() > 100 or bypassed_messages() == 1


@pytest.mark.tools("redis-server")
def test_every_reply_of_redis(bypassed_messages):
    with redis() as port:
        verify_redis(port, 1, rounds=400)
        assert bypassed_messages() > 0


@pytest.mark.tools("memcached")
def test_every_reply_of_memcached(bypassed_messages):
    with memcached() as port:
        verify_memcached(port, 2, rounds=120)
        assert bypassed_messages() > 0


# -- PostgreSQL --------------------------------------------------------------------------


@pytest.mark.tools("initdb", "postgres", "pgbench", "psql", "openssl")
@pytest.mark.parametrize("tls", ["disable", "require"])
def test_pgbench(bypassed_messages, cluster, tls, monkeypatch):
    monkeypatch.setenv("PGSSLMODE", tls)
    with cluster.running() as where:
        run("pgbench", "-i", "-q", "-s", "2", *where)  # COPY, which is a stream
        for mode in ("simple", "extended", "prepared"):
            out = run("pgbench", "-n", "-c", "4", "-j", "2", "-t", "150", "-M", mode, *where)
            assert "number of failed transactions: 0 " in out, out
        out = run("pgbench", "-n", "-C", "-S", "-c", "2", "-t", "25", *where)
        assert "number of failed transactions: 0 " in out, out
        assert pgbench_sums(where) == 3 * 4 * 150
        rows = run("psql", "-Atc", "SELECT * FROM pgbench_accounts ORDER BY aid", *where)
        assert len(rows.splitlines()) == 200_000
        assert bypassed_messages() > 100 or bypassed_messages() == 1


# -- measuring programs, which are mostly streams -----------------------------------------


@pytest.mark.tools("iperf3")
def test_iperf3(bypassed_messages):
    modes = [[], ["-R"], ["--bidir"], ["-P", "4"], ["-l", "64", "-N"], ["-Z"]]
    modes = [["-t", "1", *mode] for mode in modes] + [["-n", "50M"], ["-n", "50M", "-R"]]
    with iperf3_server() as port:
        for mode in modes:
            assert_all_arrived(iperf3(port, *mode), mode)


@pytest.mark.tools("netperf", "netserver")
@pytest.mark.parametrize("test", ["TCP_STREAM", "TCP_MAERTS", "TCP_RR", "TCP_CRR"])
def test_netperf(bypassed_messages, test):
    with netserver() as port:
        out = run("netperf", "-H", "127.0.0.1", "-4", "-p", port, "-l", "1", "-t", test)
        assert "error" not in out.lower(), out
        assert bypassed_messages() > 100 or bypassed_messages() == 1 or test != "TCP_RR"


# -- gRPC --------------------------------------------------------------------------------

ECHO = """
import sys
from concurrent import futures
import grpc

class Handler(grpc.GenericRpcHandler):
    def service(self, call):
        return grpc.stream_stream_rpc_method_handler(lambda messages, context: messages)

server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Handler()])
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(None)
"""
ASK = """
import random, sys
import grpc

rng = random.Random(3)
sizes = [rng.choice((0, 1, 100, 5000, 100_000)) for _ in range(2000)]
messages = [rng.randbytes(size) for size in sizes]
with grpc.insecure_channel("127.0.0.1:" + sys.argv[1]) as channel:
    echo = channel.stream_stream("/echo/echo")
    got = list(echo(iter(messages), timeout=60))       # all at once
    assert got == messages, (len(got), len(messages))
    for message in messages[:300]:                     # one at a time
        assert list(echo(iter([message]), timeout=60)) == [message]
"""


def test_grpc_stream(bypassed_messages):
    """It waits by EPOLLET, and takes a short read for the last: nothing is bypassed to it.

    In processes of its own, as its threads do not bear a fork of the tests."""
    pytest.importorskip("grpc", reason="no grpcio: pip install -e '.[dev]'")
    with subprocess.Popen(
        [sys.executable, "-c", ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = server.stdout.readline().strip()
            run(sys.executable, "-c", ASK, port, timeout=90)
            assert bypassed_messages() in (0, 1)  # 1 stands for plain
        finally:
            server.stdin.close()


# -- readers that are promised edges: tokio, Go -------------------------------------------------

APP = """
async def app(scope, receive, send):
    size, more = 0, True
    while more:
        event = await receive()
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
POST = """
import http.client, sys

for _ in range(30):
    client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
    for size in [50] * 20 + [10_000, 30_000, 60_000]:
        client.request("POST", "/", b"x" * size)
        got = client.getresponse().read()
        assert got == str(size).encode(), (size, got)
    client.close()
"""


def test_granian(bypassed_messages, tmp_path):
    """A server of tokio's: http.client sends heads and bodies apart."""
    pytest.importorskip("granian", reason="no granian: pip install -e '.[dev]'")
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    argv = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws", "--port", str(port)]
    with started(*argv, "app:app", ready=lambda: listens(port), cwd=tmp_path):
        for each in [subprocess.Popen([sys.executable, "-c", POST, str(port)]) for _ in range(2)]:
            assert each.wait() == 0
    assert bypassed_messages() >= 0


@pytest.mark.tools("hey", "prometheus-node-exporter")
def test_go_to_go(bypassed_messages):
    port = free_port()
    argv = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}"]
    with started(*argv, "--collector.disable-defaults", ready=lambda: listens(port)):
        for body in (b"", b"x" * 100_000):
            out = run(
                "hey",
                "-n",
                "3000",
                "-c",
                "5",
                "-m",
                "POST",
                "-d",
                body.decode(),
                f"http://127.0.0.1:{port}/",
            )
            assert "[200]\t3000 responses" in out, out
    assert bypassed_messages() > 100 or bypassed_messages() == 1


# -- the commands ------------------------------------------------------------------------


@pytest.mark.tools("redis-server", "redis-benchmark")
def test_run_leaves_nothing():
    """The server that the command leaves running as well: the residue check sees to it."""
    port = free_port()
    script = (
        f'redis-server --save "" --port {port} >/dev/null & sleep 1;'
        f"redis-benchmark -p {port} -q -n 5000 -t set,get"
    )
    done = run_sockproxy("run", *ALL_READERS, NAME, "--", "sh", "-c", script, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout.count("requests per second") == 2, done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"sockproxy: {NAME}: "), done.stderr
    assert int(last.split("past TCP ")[1].split()[0]) > 10_000, last
    assert NAME not in sight.names()
