"""What tests need of the machine, told by their markers, and what to do without it."""

from __future__ import annotations

import ctypes
import glob
import os
import shutil
from functools import cache
from pathlib import Path

from sockproxy.bench.machine import may_have
from sockproxy.errors import SockproxyError
from sockproxy.proof.ask import why_not_proved

SETUP = "as root, run tools/setup-debian"
OBJECTS = Path(__file__).resolve().parents[2] / "sockproxy" / "_bpf"
# Servers live outside the PATH that a plain login has.
SEARCH = ["/usr/local/sbin", "/usr/sbin", "/sbin", *sorted(glob.glob("/usr/lib/postgresql/*/bin"))]
BPF_MAP_TYPE_SOCKMAP = 15


def find_program(name):
    """The path of an external program, or None. Looks where servers are installed as well."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *SEARCH]))


def lacks_root():
    """Why a test cannot have root's rights, or None."""
    return None if os.geteuid() == 0 else "not root: run the tests with sudo"


@cache
def lacks_bpf():
    """Why a test cannot use BPF, or None. Found out by making a sockmap, not by asking."""
    if not list(OBJECTS.glob("*.bpf.o")):
        return f"no BPF objects in {OBJECTS}: run make build"
    if "cgroup2" not in Path("/proc/mounts").read_text():
        return "no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup"
    try:
        libbpf = ctypes.CDLL("libbpf.so.1")
    except OSError:
        return f"no libbpf.so.1: {SETUP}"
    fd = libbpf.bpf_map_create(BPF_MAP_TYPE_SOCKMAP, b"probe", 4, 4, 1, None)
    if fd < 0:
        return f"the kernel refuses a sockmap ({os.strerror(-fd)}): run 'sockproxy doctor'"
    os.close(fd)
    return None


def lacks_tools(*names):
    """Why external programs cannot be run, or None."""
    missing = [name for name in names if find_program(name) is None]
    group = " matrix" if missing == ["vagrant"] else ""
    return f"no {', '.join(missing)}: {SETUP}{group}" if missing else None


def lacks_congestion(*names):
    """Why a namespace cannot have these congestion controls, or None."""
    missing = [name for name in names if not may_have(name)]
    how = "load tcp_NAME and add it to net.ipv4.tcp_allowed_congestion_control"
    return f"no {', '.join(missing)}: {how}" if missing else None


def lacks_vm():
    """Why a test cannot boot another kernel, or None."""
    return None if find_program("vng") else "no vng: make matrix sets it up (see vagrant/README.md)"


def lacks_mechanism(*names):
    """Why a mechanism is not to be had on this kernel, as doctor found, or None."""
    try:
        return next((why for name in names if (why := why_not_proved(name))), None)
    except SockproxyError as error:
        return str(error)


NEEDS = {
    "root": lacks_root,
    "bpf": lacks_bpf,
    "on": lacks_mechanism,
    "tools": lacks_tools,
    "congestion": lacks_congestion,
    "vm": lacks_vm,
}


def required(value):
    """The needs named in `value`, a list with commas; raises ValueError for unknown ones."""
    names = {name.strip() for name in value.split(",")} - {""}
    if unknown := names - NEEDS.keys():
        raise ValueError(f"SOCKPROXY_REQUIRE knows {', '.join(NEEDS)}; not {', '.join(unknown)}")
    return names


def unmet(markers):
    """The first need that this machine cannot meet, as (name, why); None if it meets all.

    markers: a test's marks, each with a name and arguments.
    """
    marks = list(markers)
    for name, lacks in NEEDS.items():  # in this order: without rights no mechanism is on
        for mark in marks:
            if mark.name == name and (why := lacks(*mark.args)):
                return name, why
    return None
