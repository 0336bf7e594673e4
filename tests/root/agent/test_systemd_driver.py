"""Pods' cgroups as a systemd makes them, where the kubelet and the runtime have its driver."""

from __future__ import annotations

import sys

import pytest

from tests.support.systemd import booted, write_targets

UID = "50a3b050-57d7-4026-9a27-f01178ca6437"
HASH = "0f1dbb5bbf95eb7ab1a1a9dbdcbc7cb2"  # a static pod's
CONTAINER = "3f0c" * 16
# Of each quality of service; the kubelet escapes what systemd takes for a level.
SLICES = ("kubepods-pod{}", "kubepods-burstable-pod{}", "kubepods-besteffort-pod{}")
LOOK = """\
import sys
from pathlib import Path
from sockproxy.agent.groups import find_pod
found = find_pod(sys.argv[1], Path("/sys/fs/cgroup"))
print(found and sorted(each.name for each in found.iterdir() if each.is_dir()))
"""

pytestmark = [pytest.mark.root, pytest.mark.tools("unshare", "systemd-run")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    write_targets(folder)
    with booted(f"{folder}:/lib/systemd/system") as systemd:
        yield systemd


@pytest.mark.parametrize("pattern", SLICES)
@pytest.mark.parametrize("uid", [UID, HASH])
def test_a_pods_slice_is_found(machine, pattern, uid):
    def look():
        return machine.succeed(sys.executable, "-c", LOOK, uid).strip()

    assert look() == "None"
    slice_, scope = pattern.format(uid.replace("-", "_")), f"cri-containerd-{CONTAINER}.scope"
    words = ("systemd-run", "--quiet", f"--slice={slice_}.slice", f"--unit={scope}")
    machine.succeed(*words, "--scope", "sh", "-c", "sleep 1000 >/dev/null 2>&1 &")
    assert look() == f"['{scope}']"
    machine.succeed("systemctl", "stop", "kubepods.slice")  # and what is in it
    assert look() == "None"
