"""Directories that nobody else can enter, change or put in another's place.

In /tmp, and on a bpffs that others may write to, an attacker can make the directory that we look
for before we do, as one of his own or as a link to one of ours. So each directory is opened once,
without following links; its owner and mode are checked by the descriptor; and from then on it is
reached by the descriptor alone, whatever happens to its path.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from sockproxy.errors import PermissionDenied

__all__ = ["DIRECTORY", "Folder", "make_folder", "open_folder"]

ANYBODY_ELSE = stat.S_IRWXG | stat.S_IRWXO
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How to open(2) a directory, and no link to one."""


class Folder:
    """An open directory, which is ours alone if open_folder() has opened it.

    path: where it was found, for people to read; it may lead elsewhere by now.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path

    def at(self, name: str = "") -> Path:
        """A path to `name` in the directory, for calls that take no descriptor.

        It leads by way of our descriptor, so that nobody can put another directory in between;
        libraries do not resolve it, and it is short enough for a socket's address.
        """
        return Path(f"/proc/self/fd/{self.fd}", name)

    def copy(self) -> Folder:
        """The same directory by a descriptor of its own; the caller closes it."""
        return Folder(os.dup(self.fd), self.path)

    def above(self) -> Folder:
        """The directory that this one is in, whoever owns it; the caller closes it."""
        return Folder(os.open("..", DIRECTORY, dir_fd=self.fd), self.path.parent)

    def names(self) -> list[str]:
        """The names of what is in the directory, sorted."""
        return sorted(os.listdir(self.fd))

    def is_at(self, name: str, parent: Folder) -> bool:
        """Whether this directory is the one that is called `name` in `parent` at this moment."""
        try:
            there = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self.fd))

    def close(self) -> None:
        """Close the descriptor. Closing twice is allowed."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_folder(name: str | Path, parent: Folder | None = None, owner: int | None = None) -> Folder:
    """Open the directory called `name` in `parent`, or at that path; the caller closes it.

    owner: whose it has to be; this process's user, where none is given.

    Raises PermissionDenied when it is a link or something else, when it is not its owner's, and
    when others have rights to it; the OSError when it cannot be opened, FileNotFoundError as a
    rule.
    """
    owner = os.geteuid() if owner is None else owner
    path = parent.path / name if parent is not None else Path(name)
    dir_fd = parent.fd if parent is not None else None
    try:
        fd = os.open(name, DIRECTORY, dir_fd=dir_fd)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            about = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            _check(about, path, owner)  # a link, say, which the call did not follow
        raise
    folder = Folder(fd, path)
    try:
        _check(os.fstat(fd), path, owner)
    except BaseException:
        folder.close()
        raise
    return folder


def make_folder(name: str, parent: Folder) -> Folder:
    """As open_folder(name, parent), after making it with mode 0700 where there is none."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent.fd)
    return open_folder(name, parent)


def _check(about: os.stat_result, path: Path, owner: int) -> None:
    if not stat.S_ISDIR(about.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(about.st_mode) else "no directory"
        raise PermissionDenied(f"use {path}: it is {kind}", hint="find out who made it; remove it")
    if about.st_uid != owner:
        raise PermissionDenied(
            f"use {path}: it belongs to the user {about.st_uid}",
            hint="find out what is in it; remove it",
        )
    if about.st_mode & ANYBODY_ELSE:
        raise PermissionDenied(
            f"use {path}: others have rights to it (mode {stat.S_IMODE(about.st_mode):04o})",
            hint=f"find out what is in it; remove it, or chmod 0700 {path}",
        )
