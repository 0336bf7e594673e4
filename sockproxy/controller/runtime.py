"""Where running proxies can be found: one directory each, below one of ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

from sockproxy.errors import PermissionDenied, SockproxyError, UsageError

__all__ = ["ask", "release_name", "running", "runtime_root", "socket_path", "take_name"]

ANSWER_TIME = 10.0  # seconds that a proxy has to answer
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


def take_name(name: str) -> Path:
    """Make the directory of `name`, mode 0700, after clearing what a dead proxy left.

    Raises UsageError when the name is malformed or a running proxy has it.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r}", hint="use letters, digits, '_', '-' and '.'")
    folder = runtime_root() / name
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink() or folder.parent.stat().st_uid != os.geteuid():
            raise PermissionDenied(f"use {folder}", hint="it belongs to somebody else; remove it")
        if _connect(socket_path(name)) is not None:
            raise UsageError(f"a proxy named {name} is running", hint="choose another --name")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise PermissionDenied(f"make {folder}", errno=error.errno) from None
    return folder


def release_name(name: str) -> None:
    """Remove the directory of `name`, and ours above it when it was the last."""
    shutil.rmtree(runtime_root() / name, ignore_errors=True)
    try:
        runtime_root().rmdir()
    except OSError:
        pass  # others are running


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
            f"no proxy named {name} is running", hint="'sockproxy status' lists those that are"
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
