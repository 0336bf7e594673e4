"""The system calls that Python has no function for say what refused them."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from sockproxy import syscalls

PACKAGE = Path(syscalls.__file__).parent


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda: syscalls.mount("none", Path("/nowhere"), "tmpfs"), (errno.ENOENT, errno.EPERM)),
        (lambda: syscalls.unmount(Path("/nowhere")), (errno.ENOENT, errno.EPERM)),
        (lambda: syscalls.unshare(1), (errno.EINVAL,)),
        (lambda: syscalls.setns(-1, syscalls.CLONE_NEWNET), (errno.EBADF,)),
        (lambda: syscalls.pidfd_getfd(-1, 0), (errno.EBADF,)),
        (lambda: syscalls.end_with_parent(1000), (errno.EINVAL,)),
    ],
    ids=["mount", "unmount", "unshare", "setns", "pidfd_getfd", "end_with_parent"],
)
def test_what_is_refused_is_an_oserror(call, number):
    with pytest.raises(OSError, match=r"\[Errno \d+\] \w+") as caught:
        call()
    assert caught.value.errno in number


def test_a_barrier_of_an_unknown_machine_is_not_there(monkeypatch):
    monkeypatch.setattr(syscalls, "MEMBARRIER", {})
    with pytest.raises(OSError, match=os.strerror(errno.ENOSYS)):
        syscalls.barrier()


def test_nobody_else_loads_the_c_library():
    """One place has the calls' numbers and looks at errno."""
    users = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^import ctypes", path.read_text(), re.M)
    ]
    assert users == ["syscalls.py"]
