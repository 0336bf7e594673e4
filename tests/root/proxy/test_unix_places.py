"""Where Unix sockets listen: files that are stale, taken, handed over, kept."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.root.proxy.test_takeover import started as started_as
from tests.support.proxy import ROOT, end, run_flows, run_sockproxy, running_proxy, started
from tests.support.proxy import pattern_server as patterns
from tests.support.scale import patience
from tests.support.servers import free_port
from tests.support.unix import connect, serves, unix_server

pytestmark = [pytest.mark.root, pytest.mark.bpf]

# -- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "mode"), [([], 0o755), (["--unix-mode", "660"], 0o660)])
def test_its_file_is_there_as_long_as_it_serves(
    tmp_path, unix_place, unix_upstream, option, mode, there
):
    path = Path(unix_place.removeprefix("unix:"))
    with running_proxy(
        there, *option, listen=unix_place, under=("sh", "-c", 'umask 022; exec "$@"', "-")
    ):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        serves((unix_place, 0), unix_upstream)
    assert not path.exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["up.sock"]


def test_a_file_that_nobody_listens_at_is_replaced(tmp_path, unix_place, unix_upstream, there):
    unix_server(unix_place).close()
    with running_proxy(there, listen=unix_place) as proxy:
        serves(proxy.address, unix_upstream)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["up.sock"]


@pytest.mark.parametrize("bound_only", [False, True])
def test_a_file_that_somebody_has_is_left_alone(unix_place, unix_upstream, bound_only, there):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(unix_place.removeprefix("unix:"))
        if not bound_only:
            other.listen()
            other.setblocking(False)
        done = run_sockproxy("proxy", "--listen", unix_place, "--upstream", there[0])
        assert done.returncode == 1
        assert f"listen on {unix_place}: Address already in use" in done.stderr
        if bound_only:
            other.listen()
            other.setblocking(False)
        with pytest.raises(BlockingIOError):  # it was asked without a connection
            other.accept()
        with connect((unix_place, 0), patience(5)):
            other.accept()[0].close()


def test_what_is_no_socket_is_left_alone(unix_place, unix_upstream, there):
    path = Path(unix_place.removeprefix("unix:"))
    path.write_text("mine")
    done = run_sockproxy("proxy", "--listen", unix_place, "--upstream", there[0])
    assert done.returncode == 1
    assert "there is something else; remove that" in done.stderr
    assert path.read_text() == "mine"


def test_an_abstract_name_has_no_file(tmp_path, unix_upstream, there):
    name = f"unix:@test-{os.getpid()}"
    with running_proxy(there, listen=name) as proxy:
        assert proxy.address == (name, 0)
        serves(proxy.address, unix_upstream)
        done = run_sockproxy("proxy", "--listen", name, "--upstream", there[0])
        assert done.returncode == 1
        assert "in use" in done.stderr


def test_another_that_takes_over_has_the_file(unix_place, tmp_path):
    path = Path(unix_place.removeprefix("unix:"))
    with patterns(f"unix:{tmp_path}/up.sock") as server:
        errors, done = [], threading.Event()

        def flow():
            while not done.is_set():
                errors.extend(run_flows((unix_place, 0), count=50, up=50_000, down=20_000))

        with started_as(unix_place, server, "--grace", "60s") as before:
            flows = threading.Thread(target=flow)
            flows.start()
            inode = path.stat().st_ino
            with started_as(unix_place, server, "--grace", "60s", "--take-over") as after:
                assert before.process.wait(patience(30)) == 0, before.stderr()
                done.set()
                flows.join()
                assert not errors
                assert path.stat().st_ino == inode
                assert after.status()["listen"] == [unix_place]
            assert not path.exists()


def test_reload_keeps_and_drops_places(tmp_path, unix_place, unix_upstream, there):
    other = tmp_path / "other.sock"
    path = Path(unix_place.removeprefix("unix:"))
    file = tmp_path / "edge.toml"
    name = f"test-reload-{os.getpid()}"
    text = 'name = "{}"\nworkers = 1\n[[service]]\nlisten = [{}]\nupstream = "{}"\n{}\n'

    def write(places, more=""):
        file.write_text(
            text.format(name, ", ".join(f'"{each}"' for each in places), there[0], more)
        )

    write([unix_place, f"unix:{other}"])
    with started(sys.executable, "-m", "sockproxy", "proxy", "--config", file, cwd=ROOT,
                 ready=lambda: run_sockproxy("status", name).returncode == 0):  # fmt: skip
        inode = path.stat().st_ino
        write([unix_place], 'unix-mode = "600"')
        done = run_sockproxy("reload", name)
        assert done.returncode == 0, done.stderr
        assert f"listens no more on unix:{other}" in done.stdout
        assert "unix-mode 600" in done.stdout
        assert not other.exists()
        assert path.stat().st_ino == inode
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        serves((unix_place, 0), unix_upstream)
    assert not path.exists()


def test_a_file_that_somebody_has_removed_ends_nothing(tmp_path, unix_place, there):
    """A reload goes on, and the other places with it."""
    path = Path(unix_place.removeprefix("unix:"))
    file = tmp_path / "edge.toml"
    port, name = free_port(), f"test-removed-{os.getpid()}"
    text = 'name = "{}"\n[[service]]\nlisten = ["{}", "127.0.0.1:{}"]\nupstream = "{}"\n'
    text += 'unix-mode = "{}"\n'
    file.write_text(text.format(name, unix_place, port, there[0], 600))
    with started(sys.executable, "-m", "sockproxy", "proxy", "--config", file, cwd=ROOT,
                 ready=lambda: run_sockproxy("status", name).returncode == 0):  # fmt: skip
        path.unlink()
        for mode in (660, 600):
            file.write_text(text.format(name, unix_place, port, there[0], mode))
            done = run_sockproxy("reload", name)
            assert done.returncode == 0, done.stderr
            status = json.loads(run_sockproxy("status", name, "--json").stdout)["proxies"][0]
            assert status["listen"] == [unix_place, f"127.0.0.1:{port}"]
        with (
            contextlib.suppress(ConnectionResetError),  # nobody is there: but it is no refusal
            socket.create_connection(("127.0.0.1", port), patience(10)),
        ):
            pass


@pytest.mark.parametrize("path", ["relative.sock", "", "/" + 107 * "x", "@"])
def test_what_is_no_address(path):
    for options in (
        ("--listen", f"unix:{path}", "--upstream", "127.0.0.1:1"),
        ("--listen", "127.0.0.1:0", "--upstream", f"unix:{path}"),
    ):
        done = run_sockproxy("proxy", *options)
        assert done.returncode == 2
        assert "address 'unix:" in done.stderr
        assert "Traceback" not in done.stderr


def test_it_was_never_redirected(unix_place):
    done = run_sockproxy("proxy", "--listen", unix_place, "--upstream", "original-dst")
    assert done.returncode == 2
    assert "were never redirected" in done.stderr


def test_one_that_systemd_opened(tmp_path, unix_place, unix_upstream, there):
    """It stays systemd's, and so does its file."""
    path = Path(unix_place.removeprefix("unix:"))
    script = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True);"
        "os.environ['LISTEN_PID'] = str(os.getpid());"
        "os.execv(sys.executable, [sys.executable, '-m', *sys.argv[2:]])"
    )
    with unix_server(unix_place) as sock, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(sock.fileno()), "sockproxy", "proxy",
             "--listen", "systemd", "--upstream", there[0]],
            pass_fds=[sock.fileno()], stderr=log, cwd=ROOT,
            env={**os.environ, "LISTEN_FDS": "1"},
        )  # fmt: skip
        try:
            serves((unix_place, 0), unix_upstream)
            process.terminate()
            assert process.wait(patience(20)) == 0
        finally:
            end(process)
        log.seek(0)
        assert f"listening on {unix_place}".encode() in log.read()
        assert path.exists()
