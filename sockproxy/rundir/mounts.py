"""The bpffs that this machine has mounted, each opened by what it is and not by its path alone.

There may be several: /sys/fs/bpf as a rule; OWN, which is mounted where there was no other; and
whatever else is mounted. Another tool can mount one at any time, over one of ours even. Each mount
namespace sees its own.

A mount point is never removed or unmounted: rmdir(2) of a mount point detaches what is mounted
there in all other namespaces (docs/decisions/0007-places-and-locks.md).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from sockproxy.errors import KernelError, PermissionDenied, SockproxyError
from sockproxy.rundir.covered import open_covered
from sockproxy.rundir.folder import DIRECTORY, Folder, open_folder
from sockproxy.syscalls import mount as mount_at

__all__ = [
    "OURS",
    "OWN",
    "PROC",
    "USUAL",
    "Mount",
    "failure",
    "is_in_sight",
    "mount_own",
    "mounts",
    "open_top",
]

USUAL = Path("/sys/fs/bpf")
OWN = Path("/run/sockproxy-bpf")
OURS = "sockproxy"  # our directory on a bpffs
PROC = Path("/proc")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A bpffs. device: the number of its file system, which two mounts of it share.

    covered: others were mounted at the same point later.
    """

    device: int
    point: Path
    covered: bool = False


def mounts(process: str = "self") -> list[Mount]:
    """Every bpffs that a process sees mounted, USUAL and OWN first. Raises OSError when the
    process has ended."""
    text = (PROC / process / "mountinfo").read_text("utf-8", "surrogateescape")
    found = []
    for line in text.splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.split(" ", 1)[0] != "bpf":
            continue
        _, _, device, _, point, *_ = fields.split(" ")
        major, minor = device.split(":")
        # Blanks and the like in a path are written as \040.
        path = Path(_ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), point))
        found.append(Mount(os.makedev(int(major), int(minor)), path))
    last = {each.point: each for each in found}
    found = [replace(each, covered=last[each.point] is not each) for each in found]
    order = {USUAL: 0, OWN: 1}
    return sorted(found, key=lambda each: order.get(each.point, len(order)))


def open_top(mount: Mount) -> Folder:
    """The top of a bpffs, whoever owns it. Raises KernelError when another mount covers it."""
    folder = Folder(os.open(mount.point, DIRECTORY), mount.point)
    if os.fstat(folder.fd).st_dev == mount.device:
        return folder
    folder.close()
    fd = open_covered(mount.point, mount.device) if mount.covered else None
    if fd is None:
        raise KernelError(
            f"look into the bpffs at {mount.point}: another mount covers it",
            hint="what is attached there goes on; to see it, unmount what was mounted over it",
        )
    return Folder(fd, mount.point)


def is_in_sight(mount: Mount) -> bool:
    """Whether this process can open the top of a bpffs."""
    try:
        open_top(mount).close()
    except (OSError, SockproxyError):
        return False
    return True


def mount_own() -> None:
    """Mount a bpffs at OWN, unless there is one that can be opened. Raises SockproxyError."""
    try:
        with contextlib.suppress(FileExistsError):
            OWN.mkdir(mode=0o700)
        with open_folder(OWN) as folder:
            fcntl.flock(folder.fd, fcntl.LOCK_EX)  # nobody else can open it
            if any(each.point == OWN and is_in_sight(each) for each in mounts()):
                return
            mount_at("bpf", folder.at(), "bpf", data="mode=0700")
    except OSError as error:
        raise failure(f"mount a bpffs at {OWN}", error) from None


def failure(doing: str, error: OSError) -> SockproxyError:
    """The error to raise for a call on a bpffs that failed."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionDenied(doing, errno=error.errno, hint="run as root")
    return KernelError(doing, errno=error.errno)
