"""`sockproxy top` on a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

import pytest

from tests.support.proxy import ROOT, pattern_server, run_sockproxy, running_proxy
from tests.support.scale import patience
from tests.support.sockets import tcp_client

pytestmark = [pytest.mark.root, pytest.mark.bpf]
END = patience(30)


class Terminal:
    """A program on a terminal of 80 columns, and what it has written there."""

    def __init__(self, *argv):
        self._own, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sockproxy", *argv], stdin=theirs, stdout=theirs, stderr=theirs,
            cwd=ROOT, env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        )  # fmt: skip
        self.written = ""

    def says(self, text):
        end = time.monotonic() + END
        while text not in self.written:
            assert time.monotonic() < end, self.written
            if select.select([self._own], [], [], 0.1)[0]:
                self.written += os.read(self._own, 1 << 16).decode(errors="replace")

    def press(self, keys):
        self.written = ""
        os.write(self._own, keys.encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
        finally:
            os.close(self._own)
            os.close(self._theirs)

    def ends(self):
        """Its exit status, and whether the terminal is as it was."""
        end = time.monotonic() + END
        while self.process.poll() is None:
            assert time.monotonic() < end, self.written
            if select.select([self._own], [], [], 0.1)[0]:
                os.read(self._own, 1 << 16)
        return self.process.returncode, termios.tcgetattr(self._theirs) == self.before


def test_keys_and_the_end():
    with (
        pattern_server() as server,
        running_proxy(server) as proxy,
        tcp_client(proxy.address[1]) as client,
        Terminal("top", proxy.name, "--interval", "100ms") as terminal,
    ):
        port = str(client.getsockname()[1])
        terminal.says(port)
        terminal.says("by rate")
        terminal.press("s")
        terminal.says("by age")
        terminal.press("w")
        terminal.says("WHY NOT")
        terminal.press("fnobody\r")
        terminal.says("0 of 1 connection")
        terminal.press("q")
        assert terminal.ends() == (0, True)


def test_an_interrupt_leaves_the_terminal_as_it_was():
    with (
        pattern_server() as server,
        running_proxy(server) as proxy,
        Terminal("top", proxy.name, "--interval", "100ms") as terminal,
    ):
        terminal.says("connection")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ends() == (130, True)


def test_without_a_terminal():
    done = run_sockproxy("top")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--once" in done.stderr
    with (
        pattern_server() as server,
        running_proxy(server) as proxy,
        tcp_client(proxy.address[1]) as client,
    ):
        done = run_sockproxy("top", proxy.name, "--once", "--interval", "100ms")
        assert done.returncode == 0
        assert str(client.getsockname()[1]) in done.stdout
    done = run_sockproxy("top", "nobody", "--once")
    assert done.returncode == 1
    assert "nothing named nobody" in done.stderr
