"""The proxy as a process: stopped, killed, ended in order, and used for long."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from sockproxy.cgroup import find_mount
from tests.support.proxy import run_flows, run_sockproxy, running_proxy, through
from tests.support.scale import patience, scaled
from tests.support.sockets import push_until_blocked, receive, reset

pytestmark = [pytest.mark.root, pytest.mark.bpf]


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
