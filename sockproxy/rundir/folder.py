"""Directories that nobody else can enter, change or put in another's place.

Each is opened once, checked, and from then on reached by its descriptor: what happens to its path
meanwhile does not matter. Where others may write, an attacker can make what we look for before we
do, as a directory of his own or a link to one of ours.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from sockproxy.errors import PermissionDenied

__all__ = ["Folder", "make_folder", "open_folder"]

ANYBODY_ELSE = stat.S_IRWXG | stat.S_IRWXO
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """An open directory. path: where it was found, for people to read."""

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path

    def at(self, name: str = "") -> Path:
        """A path to what is inside, for calls that take no descriptor. It goes by the
        descriptor; libraries do not shorten it, and it fits into a socket's address."""
        return Path(f"/proc/self/fd/{self.fd}", name)

    def copy(self) -> Folder:
        """The same directory by a descriptor of its own; the caller closes it."""
        return Folder(os.dup(self.fd), self.path)

    def names(self) -> list[str]:
        """What is inside, sorted."""
        return sorted(os.listdir(self.fd))

    def is_at(self, name: str, parent: Folder) -> bool:
        """Whether this is what is called `name` in `parent` at this moment."""
        try:
            there = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self.fd))

    def close(self) -> None:
        """Twice is allowed."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_folder(name: str | Path, parent: Folder | None = None) -> Folder:
    """The directory of that name in `parent`, or at that path.

    Raises PermissionDenied when it is a link or something else, when it is not ours, and when
    others have rights to it; the OSError when it cannot be opened, FileNotFoundError as a rule.
    """
    path = parent.path / name if parent is not None else Path(name)
    dir_fd = parent.fd if parent is not None else None
    try:
        fd = os.open(name, _FLAGS, dir_fd=dir_fd)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            about = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            _check(about, path)  # a link, say, which the call did not follow
        raise
    folder = Folder(fd, path)
    try:
        _check(os.fstat(fd), path)
    except BaseException:
        folder.close()
        raise
    return folder


def make_folder(name: str, parent: Folder) -> Folder:
    """The same, made with mode 0700 when there is none."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent.fd)
    return open_folder(name, parent)


def _check(about: os.stat_result, path: Path) -> None:
    if not stat.S_ISDIR(about.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(about.st_mode) else "no directory"
        raise PermissionDenied(f"use {path}: it is {kind}", hint="find out who made it; remove it")
    if about.st_uid != os.geteuid():
        raise PermissionDenied(
            f"use {path}: it belongs to the user {about.st_uid}",
            hint="find out what is in it; remove it",
        )
    if about.st_mode & ANYBODY_ELSE:
        raise PermissionDenied(
            f"use {path}: others have rights to it (mode {stat.S_IMODE(about.st_mode):04o})",
            hint=f"find out what is in it; remove it, or chmod 0700 {path}",
        )
