"""pingpong: it compiles without a warning, and a byte that is wrong or lost does not pass."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from sockproxy.bench.load.base import Target
from sockproxy.bench.load.pingpong import SOURCES, Pingpong
from sockproxy.bench.scenario import Case
from tests.support.scale import patience
from tests.support.sockets import eventually

pytestmark = pytest.mark.tools("cc")

STRICT = ("-O2", "-Wall", "-Wextra", "-Werror")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the program."""
    made = tmp_path_factory.mktemp("pingpong")
    subprocess.run(["cc", *STRICT, "-o", made / "pingpong", *SOURCES], check=True)
    return made


@pytest.fixture
def server(folder, tmp_path):
    """The path of a server's socket."""
    path = tmp_path / "unix"
    with subprocess.Popen([folder / "pingpong", "serve", path]) as process:
        try:
            # The file is there a moment before anybody listens.
            eventually(lambda: process.poll() is not None or is_listening(path))
            assert process.poll() is None
            yield path
        finally:
            process.terminate()


def is_listening(path):
    """Whether a Unix socket there takes connections: by __SO_ACCEPTCON of unix(7)."""
    sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return any(each[3] == "00010000" and each[-1] == str(path) for each in sockets)


def run(folder, test, path, connections=1):
    """The client's run of a test, as the bench starts it; the process, and what is read of it."""
    tool = Pingpong()
    case = Case(tool, test, ("unix",), 64, connections, "loopback", "free", 1)
    argv = tool.command(case, Target("127.0.0.1", folder, path), 1)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=patience(30))
    return done, tool.read(case, done.stdout, 1) if done.returncode == 0 else None


def test_each_file_stands_by_itself():
    header = SOURCES[0].with_name("pingpong.h")
    subprocess.run(["cc", *STRICT, "-fsyntax-only", "-x", "c", header], check=True)


@pytest.mark.parametrize("test", ["rr", "stream", "crr"])
def test_it_measures(folder, server, test):
    done, outcome = run(folder, test, server)
    assert done.returncode == 0, done.stderr
    (second,) = outcome.each_second
    assert second > 0
    assert outcome.checks == ("every byte in its place",)
    assert all(figure > 0 for figure in outcome.values.values())


def test_it_measures_beside_streams(folder, server):
    done, outcome = run(folder, "rr-beside", server, connections=2)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["beside_in_all"] > 0
    assert outcome.values["gbit_per_s"] > 0


def answering(path, answer):
    """A server of one connection, which sends `answer` to the first request, and closes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve():
        with listener, listener.accept()[0] as sock:
            sock.recv(4 + 64, socket.MSG_WAITALL)
            sock.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"wrong" * 20, "a wrong byte after 0"), (b"", ""), (b"\0", "")],
    ids=["wrong", "none", "cut"],
)
def test_a_server_that_is_wrong_is_told(folder, tmp_path, answer, words):
    thread = answering(tmp_path / "unix", answer)
    done, _ = run(folder, "rr", tmp_path / "unix")
    thread.join()
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr


def test_a_client_that_is_wrong_ends_its_connection_alone(folder, server):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(server))
        sock.sendall((64).to_bytes(4, "little") + b"wrong" * 20)
        sock.settimeout(patience(10))
        with pytest.raises(ConnectionResetError):
            while sock.recv(64):
                pass
            raise ConnectionResetError
    done, _ = run(folder, "rr", server)
    assert done.returncode == 0, done.stderr


def test_how_it_is_called(folder):
    done = subprocess.run([folder / "pingpong"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: pingpong serve WHERE")
