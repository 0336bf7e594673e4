"""Where running proxies can be found: one directory each, below one of ours."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

from sockproxy.errors import PermissionDenied, SockproxyError, UsageError

__all__ = ["Name", "ask", "running", "runtime_root", "socket_path", "take_name"]

ANSWER_TIME = 10.0  # seconds that a proxy has to answer
TRIES = 10
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def runtime_root() -> Path:
    """The directory that holds one directory for each running proxy of this user."""
    if os.geteuid() == 0:
        return Path("/run/sockproxy")
    user = os.environ.get("XDG_RUNTIME_DIR")
    return Path(user) / "sockproxy" if user else Path(f"/tmp/sockproxy-{os.geteuid()}")


def socket_path(name: str) -> Path:
    """The control socket of the proxy `name`."""
    return runtime_root() / name / "control.sock"


class Name:
    """A proxy's name, held by a lock on its directory as long as the process lives."""

    def __init__(self, name: str, lock: int) -> None:
        self.name = name
        self._lock = lock

    def release(self) -> None:
        """Remove the directory, and ours above it when it was the last."""
        shutil.rmtree(runtime_root() / self.name, ignore_errors=True)
        os.close(self._lock)
        with contextlib.suppress(OSError):  # others are running
            runtime_root().rmdir()


def take_name(name: str) -> Name:
    """Make the directory of `name`, mode 0700, after clearing what dead proxies left.

    Raises UsageError when the name is malformed or a living proxy has it.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r}", hint="use letters, digits, '_', '-' and '.'")
    root = runtime_root()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if root.is_symlink() or root.stat().st_uid != os.geteuid():
            raise PermissionDenied(f"use {root}", hint="it belongs to somebody else; remove it")
        for folder in root.iterdir():
            _clear(folder)
        for _ in range(TRIES):
            (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _lock(root / name)
            if lock is None:
                raise UsageError(f"a proxy named {name} is running", hint="choose another --name")
            if (root / name / "lock").exists():
                return Name(name, lock)
            os.close(lock)  # another start has just cleared it
    except OSError as error:
        raise PermissionDenied(f"make {root / name}", errno=error.errno) from None
    raise SockproxyError(f"take the name {name}", hint="other starts keep clearing it; try again")


def _lock(folder: Path) -> int | None:
    """The lock of a directory, a descriptor; None while a living proxy has it."""
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _clear(folder: Path) -> None:
    """Remove a directory whose proxy is dead."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        lock = _lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def running() -> list[str]:
    """The names of the proxies that answer, sorted."""
    try:
        names = sorted(path.name for path in runtime_root().iterdir())
    except (FileNotFoundError, PermissionError):
        return []
    return [name for name in names if _answers(name)]


def _answers(name: str) -> bool:
    sock = _connect(socket_path(name))
    if sock is None:
        return False
    sock.close()
    return True


def _connect(path: Path) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(ANSWER_TIME)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        return None
    return sock


def ask(name: str, question: str) -> dict[str, Any]:
    """What the proxy `name` answers to "status" or "connections".

    Raises SockproxyError when no such proxy runs or it does not answer in time.
    """
    sock = _connect(socket_path(name))
    if sock is None:
        raise SockproxyError(
            f"nothing named {name} is running", hint="'sockproxy status' lists those that are"
        )
    with sock:
        try:
            sock.sendall(question.encode() + b"\n")
            with sock.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.read())
        except (OSError, ValueError):
            raise SockproxyError(
                f"the proxy {name} does not answer", hint="is it stopped (SIGSTOP) or overloaded?"
            ) from None
    return answer
