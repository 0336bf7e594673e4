"""Unix sockets as people write them, ``unix:/run/x.sock`` or ``unix:@name``, and as sockets take
them; and the files of those that listen."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat

from sockproxy.errors import SockproxyError, UsageError

__all__ = [
    "has_file",
    "is_unix",
    "listen_at",
    "parse_mode",
    "parse_unix",
    "path_of",
    "remove_stale",
    "set_mode",
    "unix_name",
]

PREFIX = "unix:"
LONGEST = 107  # bytes: sun_path, and a 0 behind it
_MODE = re.compile(r"0?[0-7]{3}")


def is_unix(name: str) -> bool:
    """Whether this is the name of a Unix socket, and not of a host."""
    return name.startswith(PREFIX)


def has_file(name: str) -> bool:
    """Whether it is the name of a Unix socket with a path, and not of an abstract one."""
    return is_unix(name) and not path_of(name).startswith(b"\0")


def unix_name(path: bytes) -> str:
    """``unix:/run/x.sock``, ``unix:@name`` of what begins with a 0, ``unix:`` of none."""
    if path.startswith(b"\0"):
        return f"{PREFIX}@{os.fsdecode(path[1:])}"
    return PREFIX + os.fsdecode(path)


def path_of(name: str) -> bytes:
    """What sockets take: the path, or, of an abstract name, a 0 and the name."""
    path = os.fsencode(name.removeprefix(PREFIX))
    return b"\0" + path[1:] if path.startswith(b"@") else path


def parse_unix(text: str) -> str:
    """The same text. Raises UsageError where it names no Unix socket."""
    path = path_of(text)
    if not path.startswith((b"/", b"\0")) or len(path) == 1:
        raise UsageError(f"address {text!r}", hint="write it as unix:/PATH, or unix:@NAME")
    if len(path) > LONGEST or b"\0" in path[1:]:
        raise UsageError(f"address {text!r}", hint=f"a path has {LONGEST} bytes at most, and no 0")
    return text


def parse_mode(text: str) -> str:
    """The same text, such as "660". Raises UsageError where it is no mode of a file."""
    if not _MODE.fullmatch(text):
        raise UsageError(f"mode {text!r}", hint="write three octal digits, such as 660")
    return text


# -- files ---------------------------------------------------------------------------------


def listen_at(name: str, mode: str, backlog: int) -> socket.socket:
    """A socket that listens there. A file that nobody listens at any more is replaced.

    mode: of the file; "" for what the umask leaves. Raises SockproxyError, and OSError.
    """
    path = path_of(name)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if mode:  # bind(2) makes the file with it, less the umask: at no moment others may more
            os.fchmod(sock.fileno(), int(mode, 8))
        remove_stale(name)
        sock.bind(path)
        set_mode(name, mode)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        with contextlib.suppress(SockproxyError, OSError):
            remove_stale(name)  # its own, if it came so far
        raise
    return sock


def set_mode(name: str, mode: str) -> None:
    """Of the file, if it has one. Raises OSError."""
    path = path_of(name)
    if mode and not path.startswith(b"\0"):
        os.chmod(path, int(mode, 8))


def remove_stale(name: str) -> None:
    """Remove the file, if it is a socket's that is no more: not that of another process that has
    taken it over, or of another socket. Raises SockproxyError where it is no socket's, and OSError.
    """
    path = path_of(name)
    if path.startswith(b"\0"):
        return
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SockproxyError(f"use {name}: there is something else", hint="remove that")
        if not _is_alive(path):
            _put_aside(path)
    except FileNotFoundError:
        return


def _put_aside(path: bytes) -> None:
    """Of two that find a file stale at once one may have listened there since: what is removed is
    looked at once more where nobody else does."""
    folder, name = os.path.split(path)
    aside = b".%s.%d" % (name[:64], os.getpid())
    at = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.rename(name, aside, src_dir_fd=at, dst_dir_fd=at)
        if _is_alive(b"/proc/self/fd/%d/%s" % (at, aside)):
            with contextlib.suppress(FileExistsError):
                os.link(aside, name, src_dir_fd=at, dst_dir_fd=at)
        os.unlink(aside, dir_fd=at)
    finally:
        os.close(at)


def _is_alive(path: bytes) -> bool:
    """Whether the file's socket is open anywhere. It is asked by a datagram's, of which no listener
    is told: that it is of another kind (EPROTOTYPE) is an answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        return asking.connect_ex(path) != errno.ECONNREFUSED
