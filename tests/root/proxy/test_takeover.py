"""One proxy takes the place of another: nobody is refused, and no byte is lost."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from sockproxy.net.address import format_address
from tests.support.proxy import ROOT, ProxyProcess, end, pattern_server, run_flows, run_sockproxy
from tests.support.scale import patience, scaled
from tests.support.servers import free_port
from tests.support.sockets import eventually, receive
from tests.support.unix import serves

pytestmark = [pytest.mark.root, pytest.mark.bpf]

NAME = f"test-taken-{os.getpid()}"


@contextlib.contextmanager
def started(listen, upstream, *options):
    """A proxy called NAME, which may end meanwhile."""
    argv = ["--listen", listen, "--upstream", format_address(upstream), "--name", NAME, "-v"]
    with tempfile.NamedTemporaryFile("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sockproxy", "proxy", *argv, *options], stderr=log, cwd=ROOT
        )
        try:
            yield ProxyProcess(process, log, NAME)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(patience(30))
            end(process)


def place():
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize("option", [[], ["--relay"]], ids=["auto", "relay"])
def test_every_byte_and_no_refusal_while_they_follow_one_another(option):
    where = place()
    with pattern_server() as server, contextlib.ExitStack() as stack:
        proxy = stack.enter_context(started(where, server, "--grace", "60s", *option))
        errors, batches, done = [], [], threading.Event()

        def flow():
            while not done.is_set():
                batches.append(run_flows(proxy.address, count=200, up=100_000, down=50_000))
                errors.extend(batches[-1])

        flows = threading.Thread(target=flow)
        flows.start()
        for _ in range(scaled(8, 3)):
            after = stack.enter_context(
                started(where, server, "--grace", "60s", "--take-over", "--workers", "2", *option)
            )
            assert proxy.process.wait(patience(30)) == 0, proxy.stderr()
            assert "another one has taken over" in proxy.stderr()
            assert "were reset" not in proxy.stderr()
            proxy = after
        done.set()
        flows.join()
        assert not errors
        assert batches
        assert proxy.status()["pid"] == proxy.pid


def test_connections_of_the_old_one_go_on():
    where = place()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience(10))
        with started(where, server.getsockname(), "--grace", "60s") as before:
            client = socket.create_connection(before.address, patience(10))
            upstream = server.accept()[0]
            with started(where, server.getsockname(), "--take-over") as after:
                eventually(lambda: "another one has taken over" in before.stderr())
                assert before.process.poll() is None
                with socket.create_connection(after.address, patience(10)) as other:
                    taken = server.accept()[0]
                    other.sendall(b"new")
                    assert receive(taken, 3) == b"new"
                    taken.close()
                if (status := after.status())["accelerated"]:
                    assert "of another cgroup" in status["why_no_cgroup"]
                client.sendall(b"old")
                assert receive(upstream, 3) == b"old"
                upstream.sendall(b"still")
                assert receive(client, 5) == b"still"
                client.close()
                upstream.close()
                assert before.process.wait(patience(20)) == 0
                assert after.status()["connections_ended"] <= 1


def test_one_that_drains_is_taken_over_once_more_and_drains_on():
    where = place()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience(10))
        with started(where, server.getsockname(), "--grace", "60s") as before:
            client = socket.create_connection(before.address, patience(10))
            upstream = server.accept()[0]
            before.process.terminate()
            before.says("have 60 s to finish")
            with started(where, server.getsockname(), "--take-over"):
                eventually(lambda: "another one has taken over" in before.stderr())
                client.sendall(b"on")
                assert receive(upstream, 2) == b"on"
                client.close()
                upstream.close()
                assert before.process.wait(patience(20)) == 0
                assert "were reset" not in before.stderr()


def test_one_that_is_stopped_while_it_starts_leaves_the_old_one_in_its_place():
    where = place()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience(10))
        upstream = "{}:{}".format(*server.getsockname())
        with started(where, server.getsockname()) as proxy:
            for turn in range(12):
                process = subprocess.Popen(
                    [sys.executable, "-m", "sockproxy", "proxy", "--listen", where, "--upstream",
                     upstream, "--name", NAME, "--take-over"],
                    cwd=ROOT, stderr=subprocess.PIPE, text=True,
                )  # fmt: skip
                time.sleep(0.25 + 0.03 * turn)
                process.terminate()
                _, said = process.communicate(timeout=patience(20))
                assert "Traceback" not in said
                if "listening on" in said:
                    break  # it was in its place before that
                assert proxy.status()["pid"] == proxy.pid
                serves(proxy.address, server)


def test_where_there_is_none_it_just_starts():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        started(place(), server.getsockname(), "--take-over") as proxy,
    ):
        assert proxy.status()["pid"] == proxy.pid


def test_other_places_are_opened_and_those_not_wanted_closed():
    one, other = place(), place()
    with socket.create_server(("127.0.0.1", 0)) as server:
        upstream = server.getsockname()
        with started(one, upstream), started(other, upstream, "--take-over") as after:
            assert after.status()["listen"] == [other]
            host, port = one.split(":")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)))


def test_one_that_cannot_start_leaves_the_old_one_in_its_place():
    where, other = place(), place()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience(10))
        upstream = "{}:{}".format(*server.getsockname())
        with started(where, server.getsockname()) as proxy:
            taken = "{}:{}".format(*server.getsockname())
            done = run_sockproxy(
                "proxy", "--listen", where, "--listen", other, "--listen", taken,
                "--upstream", upstream, "--name", NAME, "--take-over",
            )  # fmt: skip
            assert done.returncode == 1
            assert f"listen on {taken}" in done.stderr
            assert proxy.status()["pid"] == proxy.pid
            serves(proxy.address, server)


def test_whose_it_takes_must_be_said():
    done = run_sockproxy(
        "proxy", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--take-over"
    )
    assert done.returncode == 2
    assert "--take-over without --name" in done.stderr
