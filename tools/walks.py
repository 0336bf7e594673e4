"""Count how often a job steps from one file of the package to another, and between its folders.

    make walks

Each job runs once, in this process, as the command line runs it; each call and each return that
ends in another file of sockproxy/ is a step. What lies outside (click, Python's library) is passed
through. Needs root and a kernel on which doctor finds splice and bypass on.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from sockproxy.cgroup import create_owned
from sockproxy.cli.main import cli

PACKAGE = Path(__file__).resolve().parents[1] / "sockproxy"
NAME = f"walks-{os.getpid()}"
ECHOES = 8


class Walk:
    """The steps of one thread, while `counting`."""

    def __init__(self) -> None:
        self.counting = True
        self.files: Counter[tuple[str, str]] = Counter()
        self.folders: Counter[tuple[str, str]] = Counter()
        self._at = ""

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        """As sys.setprofile() wants it."""
        if event == "call":
            self._step(frame)
        elif event == "return" and frame.f_back is not None:
            self._step(frame.f_back)

    def _step(self, frame: FrameType | None) -> None:
        while frame is not None and not frame.f_code.co_filename.startswith(str(PACKAGE)):
            frame = frame.f_back
        if frame is None or frame.f_code.co_filename == self._at:
            return
        before, self._at = self._at, frame.f_code.co_filename
        if not before or not self.counting:
            return
        self.files[_short(before), _short(self._at)] += 1
        if os.path.dirname(before) != os.path.dirname(self._at):
            self.folders[_room(before), _room(self._at)] += 1


def _short(path: str) -> str:
    return str(Path(path).relative_to(PACKAGE))


def _room(path: str) -> str:
    return str(Path(path).parent.relative_to(PACKAGE))


def _run(walk: Walk, *args: str) -> None:
    """A command, in this thread, under the eyes of `walk`."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        sys.setprofile(walk)
        try:
            code = cli.main(list(args), standalone_mode=False)
        finally:
            sys.setprofile(None)
    if code:
        raise SystemExit(f"walks: sockproxy {' '.join(args)}: exit {code}\n{said.getvalue()}")


def command(*args: str) -> Walk:
    """A whole command."""
    walk = Walk()
    _run(walk, *args)
    return walk


@contextlib.contextmanager
def _echo_server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock:
                        while got := sock.recv(4096):
                            sock.sendall(got)

        threading.Thread(target=serve, daemon=True).start()
        yield listener
        listener.shutdown(socket.SHUT_RDWR)


def _converse(port: int, walk: Walk, errors: list[str]) -> None:
    """One connection of some echoes; the proxy is told to end after it."""
    try:
        for _ in range(200):
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            time.sleep(0.05)
        time.sleep(0.5)  # the first was to see it listen: let it end
        walk.counting = True
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            for number in range(ECHOES):
                client.sendall(bytes([number]) * 100)
                if client.recv(4096) != bytes([number]) * 100:
                    raise OSError("another answer than the request")
        time.sleep(0.5)
    except OSError as error:
        errors.append(str(error))
    finally:
        walk.counting = False
        os.kill(os.getpid(), signal.SIGTERM)


def proxied() -> Walk:
    """A connection through `sockproxy proxy`, from its accept to its end."""
    walk = Walk()
    errors: list[str] = []
    walk.counting = False
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _echo_server() as server:
        upstream = f"127.0.0.1:{server.getsockname()[1]}"
        client = threading.Thread(target=_converse, args=(port, walk, errors))
        client.start()
        _run(walk, "proxy", "--listen", f"127.0.0.1:{port}", "--upstream", upstream, "--name", NAME)
        client.join()
    if errors:
        raise SystemExit(f"walks: a proxied connection: {errors[0]}")
    return walk


def main() -> None:
    """Print a table; with a file's name, all steps into it as well."""
    doctor = [sys.executable, "-m", "sockproxy", "doctor"]
    subprocess.run(doctor, stdout=subprocess.DEVNULL, check=False)
    group = create_owned("walks")
    attach = ("attach", NAME, "--cgroup", str(group.path))
    detach = ("detach", NAME)
    try:
        walks = {f"a proxied connection, {ECHOES} echoes": proxied()}
        walks["attach"] = command(*attach)
        walks["connections"] = command("connections", NAME)
        walks["detach"] = command(*detach)
    finally:
        with contextlib.suppress(SystemExit):
            _run(Walk(), *detach)
        group.remove()
    print(f"{'job':36} {'between files':>14} {'between folders':>16}")
    for job, walk in walks.items():
        print(f"{job:36} {walk.files.total():14} {walk.folders.total():16}")
    if sys.argv[1:]:
        with open(sys.argv[1], "w") as out:
            for job, walk in walks.items():
                for kind, steps in (("folders", walk.folders), ("files", walk.files)):
                    print(f"\n{job}, {kind}", file=out)
                    for (one, other), count in steps.most_common():
                        print(f"{count:6} {one} -> {other}", file=out)


if __name__ == "__main__":
    main()
