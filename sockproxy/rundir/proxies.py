"""Running proxies are found by their names: one directory each, below runtime_root().

    ROOT/NAME/lock           held as long as the proxy lives
    ROOT/NAME/control.sock   where it answers

Both directories are of mode 0700, and are used only as such: see folder.py. Those that systemd
runs as the user SERVICE_USER are below SERVICES; root finds them as well as its own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from sockproxy.errors import PermissionDenied, SockproxyError, UsageError
from sockproxy.rundir.folder import Folder, make_folder, open_folder
from sockproxy.text import shortened

__all__ = [
    "Name",
    "check_name",
    "clear_dead",
    "connect",
    "is_running",
    "running",
    "runtime_root",
    "take_name",
    "users",
]

SERVICE_USER = "sockproxy"
SERVICES = Path("/run/sockproxy-proxy/sockproxy")  # cgroup/sockproxy-proxy@.service
SOCKET = "control.sock"
TRIES = 10
PAUSE = 0.01  # seconds between two tries: to remove the folder of a dead proxy takes less
MOST_SHOWN = 80  # characters of a name that is none
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def runtime_root() -> Path:
    """The directory that holds one directory for each running proxy of this user."""
    if os.geteuid() == 0:
        return Path("/run/sockproxy")
    user = os.environ.get("XDG_RUNTIME_DIR")
    return Path(user) / "sockproxy" if user else Path(f"/tmp/sockproxy-{os.geteuid()}")


def check_name(name: str) -> str:
    """`name`, if a proxy can be called so. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"name {shortened(name, MOST_SHOWN)!r}",
            hint="use up to 64 letters, digits, '_', '-' and '.'",
        )
    return name


class Name:
    """A proxy's name, held by a lock in its directory as long as the process lives."""

    def __init__(self, name: str, root: Folder, folder: Folder, lock: int) -> None:
        self.name = name
        self._root, self._folder, self._lock = root, folder, lock

    def bind(self, sock: socket.socket) -> None:
        """Bind `sock`, on which the proxy is to answer, to its place in the directory."""
        sock.bind(str(self._folder.at(SOCKET)))

    def release(self) -> None:
        """Give the name back, and remove its directory.

        The directory above it, of all proxies, stays: it may be a mount point to others.
        """
        shutil.rmtree(self.name, ignore_errors=True, dir_fd=self._root.fd)
        os.close(self._lock)
        self._folder.close()
        self._root.close()


def take_name(name: str) -> Name:
    """Make the directory of `name` and lock it, after the directories of dead proxies are removed.

    Raises UsageError when the name is malformed or a living proxy has it, and PermissionDenied
    when a directory is not ours alone.
    """
    check_name(name)
    path = runtime_root()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        root = open_folder(path)
        try:
            _clear_all(root)
            for tries_left in reversed(range(TRIES)):
                if (taken := _try_to_take(name, root, tries_left)) is not None:
                    return taken
                time.sleep(PAUSE)
        except BaseException:
            root.close()
            raise
        root.close()
    except OSError as error:
        denied = error.errno in (errno.EPERM, errno.EACCES, errno.EROFS)
        kind = PermissionDenied if denied else SockproxyError
        raise kind(f"make {path / name}", errno=error.errno) from None
    raise SockproxyError(f"take the name {name}", hint="other starts keep clearing it; try again")


def _try_to_take(name: str, root: Folder, tries_left: int) -> Name | None:
    """One try of take_name(); None when another command took our directory, before it was locked,
    for that of a dead proxy, and removes it. Raises UsageError when the lock is held to the end."""
    try:
        folder = make_folder(name, root)
    except FileNotFoundError:
        return None
    try:
        lock = _lock(folder)
    except FileNotFoundError:
        folder.close()
        return None
    except BaseException:
        folder.close()
        raise
    if lock is None:
        folder.close()
        if tries_left:
            return None
        raise UsageError(f"a proxy named {name} is running", hint="choose another --name")
    if _is_in_place(name, root, folder, lock):
        return Name(name, root, folder, lock)
    os.close(lock)
    folder.close()
    return None


def _lock(folder: Folder) -> int | None:
    """The lock of a directory, a descriptor; None while a living proxy has it."""
    flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open("lock", flags, 0o600, dir_fd=folder.fd)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _is_in_place(name: str, root: Folder, folder: Folder, lock: int) -> bool:
    """Whether a directory and its lock, which is ours, are still what `name` leads to: before we
    had the lock, its holder may have removed them, and a proxy that starts have made others."""
    return folder.is_at(name, root) and os.fstat(lock).st_nlink > 0


def clear_dead() -> None:
    """Remove the directories of proxies that are dead, as far as they are ours to look into."""
    with contextlib.suppress(OSError, SockproxyError), open_folder(runtime_root()) as root:
        _clear_all(root)


def _clear_all(root: Folder) -> None:
    for each in root.names():
        _clear(each, root)


def _clear(name: str, root: Folder) -> None:
    """Remove a directory whose proxy is dead."""
    with contextlib.suppress(OSError, SockproxyError), open_folder(name, root) as folder:
        lock = _lock(folder)
        if lock is not None:
            if _is_in_place(name, root, folder, lock):
                shutil.rmtree(name, ignore_errors=True, dir_fd=root.fd)
            os.close(lock)


def running() -> list[str]:
    """The names of the proxies that take questions, sorted, though they may not answer.

    Raises PermissionDenied when the directory is not ours alone.
    """
    names = {name for root in _roots() for name in root.names()}
    return sorted(name for name in names if _NAME.fullmatch(name) and _takes_questions(name))


def is_running(name: str) -> bool:
    """Whether a proxy of that name takes questions.

    Raises PermissionDenied when its directory, or that of all, is not ours alone.
    """
    try:
        with contextlib.suppress(BlockingIOError):  # it runs, and has a full queue of questions
            connect(name).close()
    except OSError:
        return False
    return True


def _takes_questions(name: str) -> bool:
    try:
        return is_running(name)
    except SockproxyError:  # what lies there is no proxy of ours
        return False


def connect(name: str) -> socket.socket:
    """A socket that is connected to the proxy `name` and does not block; the caller closes it.

    Raises PermissionDenied when the proxy's directory is not ours alone, BlockingIOError when the
    proxy takes no more questions now, and another OSError when none of that name runs.
    """
    check_name(name)
    missing: OSError = FileNotFoundError(errno.ENOENT, "no such proxy")
    for root in _roots():
        try:
            with open_folder(name, root, os.fstat(root.fd).st_uid) as folder:
                return _connect(folder)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            missing = error  # or a service has the name
    raise missing


def _connect(folder: Folder) -> socket.socket:
    # By a descriptor: a service might put a link there that leads to a socket of root's.
    there = os.open(SOCKET, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.fd)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if not stat.S_ISSOCK(os.fstat(there).st_mode):
            raise PermissionDenied(f"use {folder.path / SOCKET}: it is no socket")
        sock.connect(f"/proc/self/fd/{there}")
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(there)
    return sock


def _roots() -> Iterator[Folder]:
    """The directories of proxies that this user may ask, each open until the next; its own first.

    Raises PermissionDenied when that is not ours alone; what a service has done to its own must not
    hide the others.
    """
    places = [(runtime_root(), os.geteuid())]
    if (service := _service_user()) is not None:
        places.append((SERVICES, service))
    for path, owner in places:
        try:
            root = open_folder(path, owner=owner)
        except OSError:  # as a rule there is none
            continue
        except PermissionDenied:
            if path != SERVICES:
                raise
            continue
        with root:
            yield root


def users() -> set[int]:
    """Whose answers this user takes for those of a proxy, by uid."""
    return {0, os.geteuid()} | ({service} if (service := _service_user()) is not None else set())


def _service_user() -> int | None:
    """The uid of SERVICE_USER, for root alone; None where there is no such user."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam(SERVICE_USER).pw_uid
    except KeyError:
        return None
