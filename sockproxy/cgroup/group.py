"""One cgroup of the v2 hierarchy: create, enter, remove."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from sockproxy.cgroup.mount import find_mount
from sockproxy.errors import CgroupError, PermissionDenied, SockproxyError, Unsupported, UsageError

__all__ = ["Cgroup", "current", "find_by_id"]

UNKILLABLE = 20.0  # seconds that SIGKILL may take: a process in a system call on a bad disk
PATIENCE = 2.0  # seconds that a process which has just ended may still count as inside
GONE = (errno.ENOENT, errno.ENODEV)  # before the file was opened, and after
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]*")


class Cgroup:
    """A directory of the cgroup v2 hierarchy, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> int:
        """The kernel's number for it, which bpf_get_current_cgroup_id() gives."""
        return self.path.stat().st_ino

    def child(self, name: str) -> Cgroup:
        """The cgroup `name` below this one. Raises UsageError for a name with other characters
        than a cgroup of sockproxy's may have."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"cgroup name {name!r}", hint="use letters, digits, '_', '-', '.'")
        return Cgroup(self.path / name)

    def create(self) -> Cgroup:
        """Make the cgroup, which must not exist. Raises CgroupError, PermissionDenied without the
        rights, and Unsupported where the hierarchy is read-only."""
        try:
            self.path.mkdir(mode=0o755)
        except OSError as error:
            raise _failure(f"create the cgroup {self.path}", error) from None
        return self

    def enter(self, pid: int = 0) -> None:
        """Move a process in, with all its threads; 0 means this process."""
        try:
            (self.path / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise _failure(f"enter the cgroup {self.path}", error) from None

    def processes(self) -> list[int]:
        """The pids inside, without those of cgroups below; none when the cgroup is not there."""
        try:
            return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]
        except OSError as error:
            if error.errno in GONE:
                return []
            raise

    def all_processes(self) -> list[int]:
        """The pids inside, and those of the cgroups below."""
        folders = [Path(folder) for folder, _, _ in os.walk(self.path)]
        return [pid for folder in folders for pid in Cgroup(folder).processes()]

    def end_all(self, grace: float) -> None:
        """End every process inside and below: SIGTERM, and SIGKILL after `grace` seconds; with a
        grace of 0, SIGKILL at once.

        Raises CgroupError, naming them, when they do not end even so.
        """
        deadline = time.monotonic() + grace
        number = signal.SIGTERM
        while pids := self.all_processes():
            if time.monotonic() > deadline + UNKILLABLE:
                raise CgroupError(
                    f"end the processes of {self.path}", hint=f"these do not end: {pids}"
                )
            if time.monotonic() >= deadline:
                number = signal.SIGKILL
                self._kill()
            for pid in pids:
                # One of another PID namespace is shown as 0, which would be our own group.
                if pid > 0:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            time.sleep(0.05 if grace else 0.005)

    def _kill(self) -> None:
        """Send SIGKILL to all processes inside at once, also to those that are just being forked;
        does nothing before Linux 5.14."""
        with contextlib.suppress(OSError):  # an older kernel: the caller signals each process
            (self.path / "cgroup.kill").write_text("1")

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor to attach BPF programs to, for the length of a `with`."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _failure(f"open the cgroup {self.path}", error) from None
        try:
            yield fd
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Remove the cgroup and those below. It is no error if it is not there.

        Raises CgroupError, naming them, when processes are inside and stay there.
        """
        for path, _, _ in os.walk(self.path, topdown=False):
            Cgroup(Path(path))._remove_one()

    def _remove_one(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise _failure(f"remove the cgroup {self.path}", error) from None
                if time.monotonic() > deadline:
                    inside = ", ".join(map(str, self.processes())) or "none that can be seen"
                    raise CgroupError(
                        f"remove the cgroup {self.path}",
                        errno=error.errno,
                        hint=f"end or move its processes: {inside}",
                    ) from None
                time.sleep(0.005)
            else:
                return

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move this process in for the length of a `with`, and back to its cgroup after that."""
        before = current()
        self.enter()
        try:
            yield
        finally:
            leave_to(before)


def current(pid: int | None = None) -> Cgroup:
    """The cgroup v2 of a process; of this one by default."""
    lines = Path(f"/proc/{pid or 'self'}/cgroup").read_text().splitlines()
    for line in lines:
        if line.startswith("0::"):
            return Cgroup(find_mount() / line[3:].lstrip("/"))
    raise Unsupported("find this process's cgroup", hint="the kernel has no cgroup v2")


def find_by_id(ids: Collection[int]) -> dict[int, Cgroup]:
    """The cgroups that have these ids, by id; those that were removed are left out."""
    found: dict[int, Cgroup] = {}
    for folder, _, _ in os.walk(find_mount()):
        if len(found) == len(set(ids)):
            break
        group = Cgroup(Path(folder))
        with contextlib.suppress(FileNotFoundError):
            if (number := group.id) in ids:
                found[number] = group
    return found


def leave_to(before: Cgroup) -> None:
    """Move this process to the cgroup `before`, or to the root if that was removed meanwhile."""
    try:
        before.enter()
    except SockproxyError:
        Cgroup(find_mount()).enter()


def _failure(doing: str, error: OSError) -> SockproxyError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionDenied(doing, errno=error.errno, hint="run as root, or delegate a cgroup")
    if error.errno == errno.EROFS:
        return Unsupported(doing, errno=error.errno, hint="mount cgroup v2 writable")
    return CgroupError(doing, errno=error.errno)
