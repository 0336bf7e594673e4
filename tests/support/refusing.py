"""Kernels of another build, on this one: a preloaded library whose bpf(2) refuses what they do.

It stands below everything that is tested, libbpf included: a command started with `environment()`
meets what it would meet there. See refusing.c.

    eval "$(python -m tests.support.refusing hardened)"

makes a shell's commands meet a hardened kernel.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
BUILT = Path(__file__).resolve().parents[2] / "build" / "refusing.so"
PROG_LSM, PROG_TRACING = 29, 26
FENTRY, FEXIT, MODIFY_RETURN, ITERATOR = 24, 25, 26, 28
OVER_MAPS = ("bpf_sk_storage_map", "bpf_map_elem", "sockmap")
# bpf_probe_read() and its kin, which lockdown=confidentiality takes away.
KERNEL_READS = (4, 45, 113, 115)
NAME_BYTES = 15  # of a program's name, as far as the kernel knows it


@cache
def build():
    """The library, made of its source where that has changed."""
    if not BUILT.exists() or BUILT.stat().st_mtime < SOURCE.stat().st_mtime:
        BUILT.parent.mkdir(exist_ok=True)
        aside = BUILT.with_name(f"refusing.{os.getpid()}")
        compiler = ["clang", "-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
        subprocess.run([*compiler, "-o", aside, SOURCE, "-ldl"], check=True)
        aside.rename(BUILT)
    return BUILT


def environment(*, programs=(), kinds="", helpers=(), commands=(), errno=None):
    """The environment of a command whose kernel refuses these."""
    told = {
        "REFUSED_PROGRAMS": " ".join(each[:NAME_BYTES] for each in programs),
        "REFUSED_KINDS": kinds,
        "REFUSED_HELPERS": " ".join(map(str, helpers)),
        "REFUSED_COMMANDS": " ".join(map(str, commands)),
        "REFUSED_ERRNO": str(errno) if errno else "",
    }
    return {"LD_PRELOAD": str(build()), **{name: value for name, value in told.items() if value}}


@cache
def hardened():
    """The kinds that hardened kernels refuse to everybody: fentry, fexit, fmod_ret, LSM, and
    iterators over maps."""
    libbpf = ctypes.CDLL("libbpf.so.1")
    over = [libbpf.libbpf_find_vmlinux_btf_id(each.encode(), ITERATOR) for each in OVER_MAPS]
    kinds = [f"{PROG_TRACING}:{each}:*" for each in (FENTRY, FEXIT, MODIFY_RETURN)]
    kinds += [f"{PROG_TRACING}:{ITERATOR}:{each}" for each in over if each > 0]
    return " ".join([*kinds, f"{PROG_LSM}:*:*"])


BUILDS = {"hardened": lambda: environment(kinds=hardened())}


if __name__ == "__main__":
    for name, value in BUILDS[sys.argv[1]]().items():
        print(f"export {name}={shlex.quote(value)}")
