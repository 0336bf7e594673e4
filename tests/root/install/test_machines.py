"""Machines that lack something: a capability, descriptors, a writable /sys, a cgroup root."""

from __future__ import annotations

import json
import sys

import pytest

from sockproxy.proof.mechanisms import BYPASS, OBSERVE, SPLICE
from tests.root.doctor.test_as_doctor_says import TALK
from tests.support.bypass import ALL_READERS, NAME
from tests.support.machine import machine

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SLOW = ("--patience", "60s")  # doctor has nothing to fear here but other programs' load
MEMBER = ("run", *ALL_READERS, NAME, "--", sys.executable, "-c", TALK)
# CAP_SYS_ADMIN stands for all three that are needed.
LACKING = {
    "perfmon": ("CAP_PERFMON", "-perfmon,-sys_admin"),
    "bpf": ("CAP_BPF", "-bpf,-sys_admin"),
    "net_admin": ("CAP_NET_ADMIN", "-net_admin,-sys_admin"),
}


@pytest.mark.parametrize("capability", LACKING)
def test_without_a_capability(group, capability):
    """It is named; nothing is said of the kernel, and nothing kept of it."""
    name, dropped = LACKING[capability]
    prefix = ("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}")
    with machine() as here:
        done = here.run("attach", NAME, "--cgroup", group.path, prefix=prefix)
        assert done.returncode == 3, done.stderr
        assert name in done.stderr
        assert "off on this kernel" not in done.stderr
        done = here.run("doctor", "--json", *SLOW, prefix=prefix, timeout=120)
        assert done.returncode == 2
        told = json.loads(done.stdout)
        assert told["kept"] is None
        (found,) = (each for each in told["checks"] if each["name"] == "capabilities")
        assert (found["ok"], name in found["found"]) == (False, True)


def test_without_resources_to_spare(group):
    """CAP_SYS_RESOURCE is not needed, nor are many descriptors."""
    dropped = "-sys_resource"
    prefix = (
        *("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"),
        *("prlimit", "--nofile=128:128"),
    )
    with machine() as here:
        assert here.run("doctor", *SLOW, prefix=prefix, timeout=120).returncode == 0
        done = here.run(*MEMBER, prefix=prefix)
        assert done.returncode == 0, done.stderr
        assert "past TCP 0 messages" not in done.stderr


def test_out_of_descriptors_is_not_off(group):
    """What fails for want of them is not found out, and told so."""
    with machine() as here:
        done = here.run(
            "attach", NAME, "--cgroup", group.path, "--force", prefix=("prlimit", "--nofile=16:16")
        )
        assert done.returncode == 1, done.stderr
        assert "EMFILE" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_sys_is_read_only(group):
    """No cgroup can be made: `run` runs plainly; an attach needs none."""
    with machine(
        "mount -o bind /sys/fs/cgroup/unified /sys/fs/cgroup/unified 2>/dev/null || true"
        "\nfor each in $(awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts); do"
        " mount -o remount,bind,ro $each; done"
    ) as here:
        done = here.run(*MEMBER)
        assert done.returncode == 0, done.stderr
        assert "by plain TCP: no cgroup for it" in done.stderr
        told = json.loads(here.run("doctor", "--json", *SLOW, timeout=120).stdout)
        assert told["mechanisms"][SPLICE]["on"]
        done = here.run("attach", NAME, "--cgroup", group.path, "--force")
        assert done.returncode == 0, done.stderr
        assert here.run("detach", NAME).returncode == 0


@pytest.mark.parametrize(
    "setting",
    [
        "umount -l -a -t cgroup2; mkdir /run/second && mount -t cgroup2 none /run/second",
        "mount -t cgroup2 none /sys/fs/cgroup",
    ],
    ids=["elsewhere", "alone"],
)
def test_cgroup_v2_is_where_it_is(setting):
    """Beside v1, alone, or anywhere: the mount is looked for."""
    with machine(setting) as here:
        done = here.run(*MEMBER, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "past TCP 0 messages" not in done.stderr


def test_no_cgroup_v2_at_all():
    with machine("umount -l -a -t cgroup2") as here:
        done = here.run(*MEMBER, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "by plain TCP" in done.stderr
        done = here.run("attach", NAME, "--cgroup", "/sys/fs/cgroup")
        assert done.returncode in (2, 4), done.stderr
        assert "cgroup" in done.stderr


def test_a_container():
    """Its own cgroup, PID and mount namespaces, and all capabilities."""
    with machine() as here:
        done = here.run(
            *MEMBER,
            prefix=("unshare", "--cgroup", "--mount", "--pid", "--fork", "--mount-proc"),
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "past TCP 0 messages" not in done.stderr


def test_root_of_a_user_namespace():
    """It has all capabilities over nothing that counts, and is told which it lacks."""
    with machine() as here:
        done = here.run("doctor", "--json", *SLOW, prefix=("unshare", "--user", "-r"), timeout=120)
        told = json.loads(done.stdout)
        assert not any(told["mechanisms"][each]["on"] for each in (SPLICE, BYPASS, OBSERVE))
        (found,) = (each for each in told["checks"] if each["name"] == "capabilities")
        assert "CAP_BPF" in found["found"]
