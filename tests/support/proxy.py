"""A `sockproxy proxy`, and other servers, as processes of a test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.scale import patience
from tests.support.schema import check_document
from tests.support.unix import connect

ROOT = Path(__file__).resolve().parents[2]
START = patience(20.0)  # seconds that a process may take to begin or to end


def run_sockproxy(*arguments, timeout=30, as_described=True, **options):
    """`sockproxy ARGUMENTS` to its end: the CompletedProcess, with text output.

    as_described: JSON that it prints must be what its schema says.
    """
    done = subprocess.run(
        [sys.executable, "-m", "sockproxy", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=patience(timeout),
        cwd=ROOT,
        **options,
    )
    if as_described and "--json" in arguments and done.stdout:
        check_document(done.stdout)
    return done


class ProxyProcess:
    """A running proxy."""

    def __init__(self, process, log, name):
        self.process, self.pid, self.name = process, process.pid, name
        self._log = log
        self.address = self._wait_for_address()

    def _wait_for_address(self):
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            found = re.search(r"listening on \[?([^\s\]]+?)\]?:(\d+)[,\s]", self.stderr())
            if found:
                return found[1], int(found[2])
            if found := re.search(r"listening on (unix:\S+), ", self.stderr()):
                return found[1], 0
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"the proxy did not start:\n{self.stderr()}")

    def stderr(self):
        """What it has written to stderr so far."""
        return Path(self._log.name).read_text()

    def says(self, text):
        """Wait until it has written `text` to stderr; upper and lower case are one."""
        deadline = time.monotonic() + START
        while text.lower() not in self.stderr().lower():
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.stderr()}"
            time.sleep(0.005)

    def status(self):
        """Its part of `sockproxy status --json`."""
        (proxy,) = json.loads(run_sockproxy("status", self.name, "--json").stdout)["proxies"]
        return proxy

    def connections(self):
        """Its part of `sockproxy connections --json`."""
        done = run_sockproxy("connections", self.name, "--json")
        return json.loads(done.stdout)["proxies"][0]["connections"]

    def settled(self):
        """Wait until no connection is left; its status then."""
        deadline = time.monotonic() + START
        while (status := self.status())["connections"]:
            assert time.monotonic() < deadline, f"still there: {self.connections()}"
            time.sleep(0.1)
        return status

    def signal(self, number):
        """Send it a signal."""
        os.kill(self.pid, number)

    def stop(self):
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(START)


@contextlib.contextmanager
def running_proxy(upstream, *options, listen="127.0.0.1:0", exit_code=0, under=()):
    """A proxy in front of `upstream`, a (host, port), ("unix:PATH", 0) or "original-dst"; of two
    workers, unless the options say otherwise.

    under: a command line that runs the one which follows it, such as setpriv's.
    """
    name = f"test-{os.getpid()}-{time.monotonic_ns()}"
    target = upstream if isinstance(upstream, str) else f"{upstream[0]}:{upstream[1]}"
    if target.startswith("unix:"):
        target = upstream[0]
    argv = [sys.executable, "-m", "sockproxy", "proxy", "--listen", listen, "--upstream", target]
    if "--workers" not in options:
        options = ("--workers", 2, *options)
    with tempfile.NamedTemporaryFile("w") as log:
        process = subprocess.Popen(
            [*under, *argv, "--name", name, "-v", *map(str, options)], stderr=log, cwd=ROOT
        )
        try:
            proxy = ProxyProcess(process, log, name)
            yield proxy
            code = proxy.stop()
            assert code == exit_code, f"exit {code}:\n{proxy.stderr()}"
            assert "Traceback" not in proxy.stderr(), proxy.stderr()
            assert "internal error" not in proxy.stderr(), proxy.stderr()
        finally:
            end(process)


def end(process):
    """End a process that a failed test left: twice SIGTERM lets a proxy tidy up."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(START / 4)


@contextlib.contextmanager
def started(*argv, ready=None, **options):
    """Some other server; `ready()` is tried until it is true. Ended by its pid."""
    process = subprocess.Popen(
        [*map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    try:
        deadline = time.monotonic() + START
        while ready is not None and not ready():
            assert process.poll() is None, f"{argv[0]} ended: {process.stdout.read()}"
            assert time.monotonic() < deadline, f"{argv[0]} does not answer"
            time.sleep(0.02)
        yield process
    finally:
        end(process)
        process.communicate()


@contextlib.contextmanager
def pattern_server(where=0):
    """The server of tests.support.peer, at a port or ("unix:PATH", 0); its (host, port)."""
    with started(sys.executable, "-m", "tests.support.peer", "server", where, cwd=ROOT) as process:
        told = process.stdout.readline().strip()
        yield (told, 0) if told.startswith("unix:") else ("127.0.0.1", int(told))


def run_flows(address, *, clients=2, timeout=300, **spec):
    """Run spec["count"] connections from each of `clients` processes; every error."""
    spec = {"count": 1, "up": 0, "down": 0, "writes": 1 << 20, "nap": 0, "order": "both", **spec}
    host, port = address
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.peer", "client", host, str(port),
             json.dumps({**spec, "number": 10_000 * (number + 1)})],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for number in range(clients)
    ]  # fmt: skip
    lines = []
    try:
        for process in processes:
            lines += process.communicate(timeout=patience(timeout))[0].splitlines()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    results = [json.loads(line) for line in lines]
    assert len(results) == clients * spec["count"]
    return [result for result in results if result["error"]]


def through(proxy, listener):
    """A client's socket and the server's, connected through the proxy."""
    client = connect(proxy.address, patience(10))
    upstream, _ = listener.accept()
    upstream.settimeout(patience(10))
    return client, upstream
