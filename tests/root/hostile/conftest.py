"""What an adversary finds: mounts of this test alone, with a bpffs that anybody may write to."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from tests.support.mounts import mount, own_mounts

BPFFS = Path("/sys/fs/bpf")
OWN = Path("/run/sockproxy-bpf")


@pytest.fixture
def mounts():
    """A mount namespace of its own, without a bpffs that others see as well."""
    with own_mounts():
        with contextlib.suppress(FileExistsError):
            OWN.mkdir(mode=0o700)
        mount("tmpfs", OWN, "mode=0700")
        mount("tmpfs", BPFFS, "mode=0755")
        yield


@pytest.fixture
def bpffs(mounts):
    """A bpffs as `mount -t bpf bpf /sys/fs/bpf` makes it: of mode 1777."""
    mount("bpf", BPFFS)
    assert os.stat(BPFFS).st_mode & 0o7777 == 0o1777
    return BPFFS
