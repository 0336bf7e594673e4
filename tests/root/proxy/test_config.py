"""A proxy of a configuration file: services beside each other, and what they are told apart by."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.proxy import (
    ROOT,
    ProxyProcess,
    end,
    pattern_server,
    run_flows,
    run_sockproxy,
    running_proxy,
)
from tests.support.scale import patience, scaled
from tests.support.schema import check_line
from tests.support.sockets import eventually, receive

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@contextlib.contextmanager
def configured(tmp_path, text, *options, **environment):
    """A proxy of this file."""
    path = tmp_path / f"test-{os.getpid()}.toml"
    path.write_text(text)
    with tempfile.NamedTemporaryFile("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sockproxy", "proxy", "--config", path, *options],
            stderr=log, cwd=ROOT, env={**os.environ, **environment},
        )  # fmt: skip
        try:
            proxy = ProxyProcess(process, log, path.stem)
            eventually(lambda: proxy.stderr().count("listening on") == text.count("listen ="))
            yield proxy
            assert proxy.stop() == 0, proxy.stderr()
            assert "Traceback" not in proxy.stderr()
        finally:
            end(process)


@pytest.fixture
def servers():
    with contextlib.ExitStack() as stack:
        made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        for each in made:
            stack.enter_context(each).settimeout(patience(10))
        yield made


def services(servers, listen="127.0.0.1:0"):
    return "\n".join(
        f'[[service]]\nname = "s{number}"\nlisten = "{listen}"\nupstream = "{{}}:{{}}"'.format(
            *server.getsockname()
        )
        for number, server in enumerate(servers)
    )


def test_clients_of_each_service_go_where_it_says(tmp_path, servers):
    text = f"workers = 2\ngrace = '1s'\n{services(servers)}"
    with configured(tmp_path, text) as proxy, contextlib.ExitStack() as stack:
        told = proxy.status()["services"]
        assert [each["name"] for each in told] == ["s0", "s1"]
        for number, (each, server) in enumerate(zip(told, servers, strict=True)):
            host, port = each["listen"][0].rsplit(":", 1)
            client = stack.enter_context(socket.create_connection((host, int(port))))
            upstream = stack.enter_context(server.accept()[0])
            client.sendall(b"%d" % number)
            assert receive(upstream, 1) == b"%d" % number
        assert [each["service"] for each in proxy.connections()] == ["s0", "s1"]
        shown = run_sockproxy("connections", proxy.name).stdout
        assert f"{proxy.name}/s1" in shown
        stack.close()
        proxy.settled()


def test_one_whose_upstream_is_gone_leaves_the_other_alone(tmp_path, servers):
    servers[0].close()
    gone, there = (f"127.0.0.1:{port}" for port in (1, servers[1].getsockname()[1]))
    text = "\n".join(
        f'[[service]]\nname = "{name}"\nlisten = "127.0.0.1:0"\nupstream = "{upstream}"'
        for name, upstream in (("gone", gone), ("there", there))
    )
    with configured(tmp_path, text, "--log-format", "json", "--log-level", "debug") as proxy:
        ports = [int(each.rsplit(":", 1)[1]) for each in proxy.status()["listen"]]
        for _ in range(3):
            with (
                pytest.raises(ConnectionResetError),
                socket.create_connection(("127.0.0.1", ports[0]), 10) as client,
            ):
                client.recv(1)
            with socket.create_connection(("127.0.0.1", ports[1]), 10) as client:
                upstream = servers[1].accept()[0]
                client.sendall(b"x")
                assert receive(upstream, 1) == b"x"
                upstream.close()
        proxy.settled()
        lines = [check_line(line) for line in proxy.stderr().splitlines()]
    refused = [line for line in lines if line.get("event") == "refused"]
    ended = [line for line in lines if line.get("event") == "connection"]
    assert [line["service"] for line in refused] == ["gone"] * 3
    assert [line["service"] for line in ended] == ["there"] * 3
    assert all(line["forward"]["bytes"] == 1 and line["connect_seconds"] > 0 for line in ended)


def reload(proxy):
    return run_sockproxy("reload", proxy.name)


def test_a_file_is_read_again(tmp_path, servers):
    with configured(tmp_path, services(servers[:1])) as proxy:
        path = tmp_path / f"{proxy.name}.toml"
        done = reload(proxy)
        assert (done.returncode, done.stdout) == (0, f"{proxy.name}: nothing has changed\n")
        path.write_text(services(servers))
        done = reload(proxy)
        assert done.returncode == 0
        assert "s1 listens on 127.0.0.1:" in done.stdout
        assert len(proxy.status()["services"]) == 2
        path.write_text("workers = 0\n" + services(servers))
        done = reload(proxy)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{path}:1: workers: must be a whole number" in done.stderr
        document = json.loads(run_sockproxy("reload", proxy.name, "--json").stdout)
        assert document["error"].startswith(f"{path}:1: workers")
        path.write_text("log-level = 'debug'\n" + services(servers[:1]))
        proxy.signal(signal.SIGHUP)
        proxy.says("reloaded: s1 listens no more on")
        with socket.create_connection(proxy.address, patience(10)) as client:
            upstream = servers[0].accept()[0]
            client.close()
            upstream.close()
        proxy.says("finished after")
        assert len(proxy.status()["services"]) == 1


def test_every_byte_while_it_is_read_again_and_again(tmp_path):
    """Also those of connections that begin in between, and of old ones."""
    with pattern_server() as one, pattern_server() as other:
        text = '[[service]]\nlisten = "127.0.0.1:0"\nupstream = "{}:{}"\nconnect-timeout = {}\n'
        with configured(tmp_path, text.format(*one, 5)) as proxy:
            path = tmp_path / f"{proxy.name}.toml"
            with ThreadPoolExecutor() as pool:
                flows = pool.submit(
                    run_flows, proxy.address, count=scaled(800, 60), up=200_000, down=100_000
                )
                turn = 0
                while not flows.done():
                    turn += 1
                    path.write_text(text.format(*(one, other)[turn % 2], 5 + turn // 2 % 2))
                    assert reload(proxy).returncode == 0
                assert not flows.result()
            assert turn > 2
            assert proxy.settled()["connections_reset"] == 0


def test_one_without_a_file_has_nothing_to_read(servers):
    with running_proxy(servers[0].getsockname()) as proxy:
        done = reload(proxy)
        assert done.returncode == 1
        assert "it was not started with --config" in done.stderr


def test_sockets_of_systemd(tmp_path, servers):
    """Passed as it would, and it is told when they are served."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        tempfile.NamedTemporaryFile("w") as log,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(patience(20))
        path = tmp_path / "passed.toml"
        path.write_text(services(servers[:1], "systemd:web"))
        script = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True);"
            "os.environ['LISTEN_PID'] = os.environ['WATCHDOG_PID'] = str(os.getpid());"
            "os.execv(sys.executable, [sys.executable, '-m', *sys.argv[2:]])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(listener.fileno()), "sockproxy", "proxy",
             "--config", path],
            pass_fds=[listener.fileno()], stderr=log, cwd=ROOT,
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web",
                 "WATCHDOG_USEC": "300000", "NOTIFY_SOCKET": str(tmp_path / "notify")},
        )  # fmt: skip
        try:
            assert manager.recv(1000).startswith(b"READY=1\nSTATUS=")
            for _ in range(3):
                assert manager.recv(1000).startswith(b"WATCHDOG=1\nSTATUS=")
            with socket.create_connection(listener.getsockname(), 10) as client:
                upstream = servers[0].accept()[0]
                client.sendall(b"x")
                assert receive(upstream, 1) == b"x"
                upstream.close()
            process.terminate()
            while (told := manager.recv(1000)).startswith(b"WATCHDOG=1\n"):
                pass
            assert told == b"STOPPING=1"
            assert process.wait(patience(20)) == 0
        finally:
            end(process)
        with socket.create_connection(listener.getsockname(), 10):
            pass  # it listens on, for the next one


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--listen", "127.0.0.1:0"], "--config and --listen; write it into the file"),
        (["--relay"], "--config and --relay"),
        (["--max-connections", "3"], "--config and --max-connections"),
    ],
)
def test_what_a_file_says_no_option_says(tmp_path, servers, options, told):
    path = tmp_path / "edge.toml"
    path.write_text(services(servers))
    done = run_sockproxy("proxy", "--config", path, *options)
    assert done.returncode == 2
    assert told in done.stderr


def test_check_tells_of_each_file(tmp_path, servers):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(services(servers))
    bad.write_text("workers = 0\n" + services(servers))
    assert run_sockproxy("check", good).stdout == f"{good}: 2 services, as they should be\n"
    done = run_sockproxy("check", good, bad, tmp_path / "none.toml")
    assert done.returncode == 2
    wrong, missing = done.stderr.splitlines()
    assert wrong.startswith(f"sockproxy: {bad}:1: workers: must be a whole number")
    assert "none.toml" in missing
    files = json.loads(run_sockproxy("check", good, bad, "--json").stdout)["files"]
    assert [each["services"] for each in files] == [2, 0]
    assert [bool(each["error"]) for each in files] == [False, True]


def test_without_a_file_or_a_place(servers):
    done = run_sockproxy("proxy", "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    assert "--listen and --upstream, or --config" in done.stderr
