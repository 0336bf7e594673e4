"""The proxy as a process: every byte, every end, and what it says of itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from sockproxy.cgroup import find_mount
from tests.support.proxy import pattern_server, run_flows, run_sockproxy, running_proxy
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually, push_until_blocked, receive, reset

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.fixture(scope="module")
def server():
    with pattern_server() as address:
        yield address


@pytest.fixture(params=[[], ["--eager"], ["--relay"]], ids=["auto", "eager", "relay"])
def proxy(request, server):
    with running_proxy(server, *request.param) as proxy:
        yield proxy


@pytest.fixture
def accelerated(server):
    """The kernel moves all that it can, from the first byte."""
    with running_proxy(server, "--eager") as proxy:
        assert proxy.status()["accelerated"]
        yield proxy


@pytest.fixture
def listener():
    """A listening socket that a test accepts from by hand."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(patience(10))
        yield sock


def through(proxy, listener):
    """A client's socket and the server's, connected through the proxy."""
    client = socket.create_connection(proxy.address, timeout=patience(10))
    upstream, _ = listener.accept()
    upstream.settimeout(patience(10))
    return client, upstream


# -- exactness --------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["both", "client", "server"])
@pytest.mark.parametrize("writes", [1, 1000, 1 << 20])
def test_sizes_and_orders(proxy, writes, order):
    size = scaled({1: 20_000, 1000: 2_000_000, 1 << 20: 60_000_000}[writes])
    assert not run_flows(
        proxy.address, count=4, up=size, down=size // 2 + 1, writes=writes, order=order
    )


def test_slow_readers(proxy):
    assert not run_flows(
        proxy.address, count=8, up=scaled(20_000_000), down=scaled(15_000_000), nap=0.05
    )


def test_small_budget_under_contention(server):
    with running_proxy(server, "--eager", "--budget", "16KiB") as proxy:
        for _ in range(3):
            size = scaled(10_000_000)
            assert not run_flows(proxy.address, count=10, up=size, down=size * 4 // 5, nap=0.02)
        assert proxy.settled()["holds"] > scaled(20)


def test_a_thousand_connections_at_once(proxy):
    assert not run_flows(proxy.address, count=scaled(500, 20), up=30_000, down=30_000, writes=5000)


def test_counters_agree_with_the_bytes(accelerated):
    assert not run_flows(accelerated.address, count=10, up=1_000_000, down=3_000_000)
    status = accelerated.settled()
    headers = status["redirected"] + status["pumped"] - 20 * 4_000_000
    assert 0 < headers < 20 * 200  # the line of JSON before each flow
    assert (status["connections_ended"], status["connections_reset"]) == (20, 0)
    assert status["enrolments"]["enrolled"] == 40


def test_connections_agree_with_the_bytes(listener):
    with running_proxy(listener.getsockname()) as proxy:
        client, upstream = through(proxy, listener)
        turns = 0

        def talk(count):
            nonlocal turns
            for _ in range(count):
                client.sendall(b"x" * 1234)
                receive(upstream, 1234)
                upstream.sendall(b"y" * 4321)
                receive(client, 4321)
            turns += count
            (pair,) = proxy.connections()
            return pair

        def is_redirected():
            """It was seen to be a conversation, and there was a quiet moment."""
            pair = talk(6)
            return {pair[way]["state"] for way in ("forward", "backward")} == {"redirect"}

        with client, upstream:
            eventually(is_redirected, 20)
            before = talk(1)
            pair = talk(10)
            assert tuple(pair["client"]) == client.getsockname()
            assert tuple(pair["upstream"]) == upstream.getsockname()
            for way, size in (("forward", 1234), ("backward", 4321)):
                assert pair[way]["redirected"] + pair[way]["pumped"] == turns * size
                assert pair[way]["pumped"] == before[way]["pumped"]
                assert pair[way]["state"] == "redirect"
            text = run_sockproxy("connections", proxy.name).stdout
            assert f"127.0.0.1:{client.getsockname()[1]}" in text


# -- ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["client", "upstream"])
@pytest.mark.parametrize("option", [[], ["--eager"], ["--relay"]])
def test_reset_from_either_end(listener, who, option):
    with running_proxy(listener.getsockname(), *option) as proxy:
        client, upstream = through(proxy, listener)
        one, other = (client, upstream) if who == "client" else (upstream, client)
        client.sendall(b"hello")
        receive(upstream, 5)
        reset(one)
        with other, pytest.raises(ConnectionResetError):
            other.recv(1)


def test_an_upstream_that_refuses_is_a_reset_for_the_client(listener):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        closed = sock.getsockname()
    with running_proxy(closed) as proxy:
        with (
            pytest.raises(ConnectionResetError),  # connect() may tell it already
            socket.create_connection(proxy.address, timeout=patience(10)) as client,
        ):
            client.recv(1)
        proxy.says("connection refused")
        assert proxy.status()["connections_refused"] == 1


def test_an_upstream_that_dies_in_mid_stream(server):
    with pattern_server() as doomed, running_proxy(doomed) as proxy:
        with socket.create_connection(proxy.address, timeout=patience(10)) as client:
            spec = {"number": 1, "up": 0, "down": 1 << 40, "writes": 1 << 20, "nap": 0,
                    "order": "both"}  # fmt: skip
            client.sendall(json.dumps(spec).encode() + b"\n")
            receive(client, 10_000_000)
            os.kill(server_pid(doomed[1]), signal.SIGKILL)
            with pytest.raises(ConnectionResetError):
                while client.recv(1 << 20):
                    pass
                raise ConnectionResetError  # an end is what TCP gives if nothing was unread
        proxy.settled()


def server_pid(port):
    """The process that listens on `port`."""
    out = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True)
    return int(out.stdout.split("pid=")[1].split(",")[0])


def test_upstreams_take_turns_and_a_dead_one_is_passed_over():
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.create_server(("127.0.0.1", 0)) as dead,
    ):
        for sock in (one, two):
            sock.settimeout(patience(10))
        addresses = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in (one, two, dead)]
        dead.close()
        with running_proxy(
            one.getsockname(), "--upstream", addresses[1], "--upstream", addresses[2]
        ) as proxy:
            for first in (one, two, one, two, one):
                client, upstream = through(proxy, first)
                client.close()
                upstream.close()


def test_families(server):
    for listen in ("[::1]:0", "[::]:0"):
        with running_proxy(server, "--eager", listen=listen) as proxy:
            port = proxy.address[1]
            hosts = ["::1"] if listen.startswith("[::1]") else ["::1", "127.0.0.1"]
            for host in hosts:
                assert not run_flows((host, port), count=2, up=1_000_000, down=1_000_000)
            assert proxy.settled()["redirected"] > 0


def test_socket_options_are_as_asked(listener):
    with running_proxy(listener.getsockname(), "--keepalive", 30, "--no-nodelay") as proxy:
        client, upstream = through(proxy, listener)
        with client, upstream:
            out = subprocess.run(
                ["ss", "-Htno", f"sport = :{upstream.getpeername()[1]}"],
                capture_output=True, text=True,
            )  # fmt: skip
            assert "keepalive" in out.stdout


# -- bounds -----------------------------------------------------------------------------------


def test_more_clients_than_the_limit_wait(listener):
    with running_proxy(listener.getsockname(), "--max-connections", 2) as proxy:
        pairs = [through(proxy, listener) for _ in range(2)]
        third = socket.create_connection(proxy.address, timeout=patience(10))
        third.sendall(b"waiting")
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()
        for sock in pairs[0]:
            sock.close()
        listener.settimeout(patience(10))
        upstream, _ = listener.accept()
        with third, upstream:
            upstream.settimeout(patience(10))
            assert receive(upstream, 7) == b"waiting"
        for sock in pairs[1]:
            sock.close()


def test_idle_connections_are_reset(listener):
    with running_proxy(listener.getsockname(), "--idle-timeout", "1s") as proxy:
        client, upstream = through(proxy, listener)
        with client, upstream, pytest.raises(ConnectionResetError):
            client.recv(1)
        proxy.says("idle for 1 s")


# -- survival ------------------------------------------------------------------------------------


def test_stopped_for_a_while_loses_nothing(accelerated):
    """SIGSTOP: the kernel goes on, and over the budget the sender blocks."""
    stops = 0

    def nap(pid):
        nonlocal stops
        os.kill(pid, signal.SIGSTOP)
        time.sleep(scaled(0.7, 0.2))
        os.kill(pid, signal.SIGCONT)
        stops += 1

    thread = threading.Thread(target=lambda: [nap(accelerated.pid) for _ in range(3)])
    thread.start()
    errors = run_flows(
        accelerated.address, count=4, up=scaled(150_000_000), down=scaled(50_000_000)
    )
    thread.join()
    assert not errors
    assert stops == 3


def test_kill_9_leaves_what_the_next_start_cleans(listener):
    owned = find_mount() / "sockproxy"
    with (
        pytest.raises(AssertionError, match="exit -9"),
        running_proxy(listener.getsockname()) as proxy,
    ):
        client, upstream = through(proxy, listener)
        client.sendall(b"x")
        receive(upstream, 1)
        left = [path for path in owned.iterdir() if path.name.startswith(proxy.name)]
        assert len(left) == 1
        proxy.signal(signal.SIGKILL)
        proxy.process.wait(patience(10))
        assert left[0].exists()
        assert proxy.name not in run_sockproxy("status").stdout
        client.close()
        upstream.close()
    with running_proxy(listener.getsockname(), "--name", proxy.name):
        assert not left[0].exists()
    for folder in (owned, Path("/run/sockproxy")):
        assert not list(folder.glob(f"{proxy.name}*"))


def test_sigterm_lets_connections_finish(listener):
    with running_proxy(listener.getsockname()) as proxy:
        client, upstream = through(proxy, listener)
        with client, upstream:
            proxy.signal(signal.SIGTERM)
            proxy.says("stopping")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(proxy.address, timeout=5)
            client.sendall(b"still served")
            assert receive(upstream, 12) == b"still served"
        assert proxy.process.wait(patience(5)) == 0


def test_grace_ends_and_so_does_a_second_sigterm(listener):
    for options, signals in ((["--grace", "500ms"], 1), ([], 2)):
        with running_proxy(listener.getsockname(), *options) as proxy:
            client, upstream = through(proxy, listener)
            with client, upstream:
                for number in range(signals):
                    proxy.signal((signal.SIGTERM, signal.SIGINT)[number])
                    proxy.says("stopping")
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            assert proxy.process.wait(patience(5)) == 0


@pytest.mark.parametrize("option", [[], ["--eager"]], ids=["auto", "eager"])
def test_short_connections_leak_nothing(listener, option):
    def resources(proxy):
        folder = Path(f"/proc/{proxy.pid}")
        rss = int((folder / "statm").read_text().split()[1])
        return len(list((folder / "fd").iterdir())), rss * 4096

    # 2 x (16 + the backlog of 1024) slots, for 5000 sockets one after the other.
    with running_proxy(listener.getsockname(), *option, "--max-connections", 16) as proxy:

        def cycle(count):
            for number in range(count):
                client, upstream = through(proxy, listener)
                client.sendall(b"x")
                receive(upstream, 1)
                for sock in (client, upstream) if number % 2 else (upstream, client):
                    (reset if number % 5 == 0 else socket.socket.close)(sock)
            return proxy.settled()

        cycle(scaled(500, 50))
        before = resources(proxy)
        status = cycle(scaled(2000, 100))
        after = resources(proxy)
        assert after[0] <= before[0] + 4
        assert after[1] < before[1] + (8 << 20)
        assert status["enrolments"]["no_slot"] == 0


def test_a_client_that_resets_a_stalled_stream(listener):
    with running_proxy(listener.getsockname(), "--eager") as proxy:
        for _ in range(5):
            client, upstream = through(proxy, listener)
            push_until_blocked(client, bytes(1 << 20), quiet=0.1)
            reset(client)
            with upstream, pytest.raises(ConnectionResetError):
                while upstream.recv(1 << 20):
                    pass
        assert proxy.settled()["connections_reset"] == 5
