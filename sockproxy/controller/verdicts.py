"""Whether a mechanism is on, on with limits, or off on this kernel: what doctor found, kept.

Each mechanism is proved before it is used. What was found is kept in a file until the next
boot, for this kernel and this build of the programs; where there is none, doctor is run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from sockproxy.controller.runtime import runtime_root
from sockproxy.errors import SockproxyError
from sockproxy.kernel.objects import read_object
from sockproxy.libbpf import version

__all__ = ["RIGHTS", "Verdict", "keep", "kept_at", "verdict", "why_off"]

DOCTOR_TIME = 120.0  # seconds; it needs two, and more where probes hang
RIGHTS = "capabilities"  # the name of that probe
OBJECTS = ("splice.bpf.o", "bypass.bpf.o")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one mechanism.

    failed: the failed probes that it needs, and what each found. limits: what it does not
    do here.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()

    @property
    def on(self) -> bool:
        """Whether it can be used, with its limits if it has any."""
        return not self.failed

    @property
    def lacks_rights(self) -> bool:
        """Whether it is off for want of capabilities, and not for what the kernel is."""
        return RIGHTS in self.failed

    @property
    def why_off(self) -> str:
        """The probe that switched it off, in words; "" when it is on."""
        for name, found in self.failed.items():
            others = len(self.failed) - 1
            return f"{name}: {found}" + (f" (and {others} more)" if others else "")
        return ""


def verdict(mechanism: str) -> Verdict:
    """What holds for a mechanism; runs doctor when nobody did since the last boot."""
    return _verdicts()[mechanism]


def why_off(mechanism: str) -> str:
    """Why a mechanism must not be used here, as a phrase; "" when it may."""
    found = verdict(mechanism)
    return "" if found.on else f"{mechanism} is off on this kernel: {found.why_off}"


@cache
def _verdicts() -> dict[str, Verdict]:
    return _read() or _ask_doctor()


def keep(verdicts: Mapping[str, Verdict]) -> Path | None:
    """Keep what was found until the next boot; where, or None if it could not be written."""
    place = kept_at()
    if place is None:
        return None
    document = {"of": _identity(), "verdicts": {name: asdict(v) for name, v in verdicts.items()}}
    aside = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        with open(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(document, file)
        aside.rename(place)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        return None
    _verdicts.cache_clear()
    return place


def kept_at() -> Path | None:
    """The file, on a file system that a boot empties; None where this user has no such one."""
    if os.geteuid() == 0 or "XDG_RUNTIME_DIR" in os.environ:
        return runtime_root().with_name("sockproxy-doctor.json")
    return None


def _read() -> dict[str, Verdict] | None:
    """What was kept, if it is of this boot, this kernel, these programs and these rights."""
    place = kept_at()
    if place is None:
        return None
    try:
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as file:
            about = os.fstat(file.fileno())
            writable = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if about.st_uid not in (0, os.geteuid()) or writable:
                return None
            document = json.load(file)
        if document["of"] != _identity():
            return None
        kept = document["verdicts"]
        return {name: Verdict(kept[name]["failed"], tuple(kept[name]["limits"])) for name in kept}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ask_doctor() -> dict[str, Verdict]:
    """Run it apart: its probes fork, which a program with threads must not."""
    argv = [sys.executable, "-m", "sockproxy", "doctor", "--json"]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=DOCTOR_TIME, stdin=subprocess.DEVNULL
        )
        return _parse(json.loads(done.stdout))
    except OSError as error:
        why = str(error)
    except subprocess.TimeoutExpired:
        why = f"doctor gave no answer in {DOCTOR_TIME:g} s"
    except (ValueError, KeyError, TypeError):
        why = "doctor gave no answer"
    raise SockproxyError(f"examine this kernel: {why}", hint="see what 'sockproxy doctor' says")


def _parse(told: Mapping[str, Any]) -> dict[str, Verdict]:
    """The verdicts in what `doctor --json` prints."""
    found = {each["name"]: each["found"] for each in told["checks"]}
    return {
        name: Verdict({each: found[each] for each in of["failed"]}, tuple(of["limits"]))
        for name, of in told["mechanisms"].items()
    }


def _identity() -> dict[str, Any]:
    """What the findings hold for."""
    status = Path("/proc/self/status").read_text()
    return {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "kernel": f"{os.uname().release} {os.uname().version}",
        "sockproxy": package_version("sockproxy"),
        "objects": [hashlib.sha256(read_object(each)).hexdigest() for each in OBJECTS],
        "libbpf": version(),
        "capabilities": status.split("CapEff:")[1].split()[0],
    }
