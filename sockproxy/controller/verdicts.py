"""Whether a mechanism is on, on with limits, or off on this kernel: what doctor found, kept.

Each mechanism is proved before it is used. What was found is kept in a file until the next
boot, for this kernel and this build of programs and probes; where there is none, doctor is run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sockproxy.controller.mechanisms import MECHANISMS
from sockproxy.controller.runtime import runtime_root
from sockproxy.errors import SockproxyError
from sockproxy.kernel.objects import read_object
from sockproxy.libbpf import missing_capabilities, version

__all__ = ["RIGHTS", "Verdict", "keep", "kept_at", "verdict", "why_off"]

DOCTOR_TIME = 60.0  # seconds; it has an end of its own long before
RIGHTS = "capabilities"  # the name of that probe
OBJECTS = ("splice.bpf.o", "bypass.bpf.o")
PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one mechanism.

    failed: the failed probes that it needs, and what each found. limits: other failed probes,
    and what the mechanism does not do because of each.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)

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
    found = _read()
    if found is None:
        with _one_at_a_time():  # services that start at once wait for the first one's
            found = _read() or _ask_doctor()
    return found


def keep(verdicts: Mapping[str, Verdict]) -> Path | None:
    """Keep what was found until the next boot; where, or None if it could not be written."""
    place = kept_at()
    if place is None:
        return None
    try:
        of = _identity()
    except SockproxyError:  # without libbpf, or our objects
        return None
    document = {"of": of, "verdicts": {name: asdict(each) for name, each in verdicts.items()}}
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
        return {name: Verdict(kept[name]["failed"], kept[name]["limits"]) for name in MECHANISMS}
    except (OSError, ValueError, KeyError, TypeError, SockproxyError):
        return None


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    place = kept_at()
    try:
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(place.with_suffix(".lock"), flags, 0o600) if place else None
    except OSError:
        lock = None  # a file system that is read-only: then each for itself
    try:
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _ask_doctor() -> dict[str, Verdict]:
    """Run it apart: its probes fork, which a program with threads must not.

    Where it gives no answer nothing is proved, and so all is off.
    """
    # -P: not from the working directory, which may be anybody's.
    argv = [sys.executable, "-P", "-m", "sockproxy", "doctor", "--json"]
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=DOCTOR_TIME, cwd="/",
            stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        return _parse(json.loads(done.stdout))
    except OSError as error:
        why = str(error)
    except subprocess.TimeoutExpired:
        why = f"no answer in {DOCTOR_TIME:g} s"
    except (ValueError, KeyError, TypeError):
        why = "no answer"
    return dict.fromkeys(MECHANISMS, Verdict({"doctor": why}))


def _parse(told: Mapping[str, Any]) -> dict[str, Verdict]:
    """The verdicts in what `doctor --json` prints."""
    found = {each["name"]: each["found"] for each in told["checks"]}
    return {
        name: Verdict(
            {each: found[each] for each in told["mechanisms"][name]["failed"]},
            told["mechanisms"][name]["limited_by"],
        )
        for name in MECHANISMS
    }


def _identity() -> dict[str, Any]:
    """What the findings hold for. Raises SockproxyError."""
    probes = hashlib.sha256()
    for source in sorted((PACKAGE / "controller" / "doctor").rglob("*.py")):
        probes.update(source.read_bytes())
    return {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "kernel": f"{os.uname().release} {os.uname().version}",
        "objects": [hashlib.sha256(read_object(each)).hexdigest() for each in OBJECTS],
        "probes": probes.hexdigest(),
        "libbpf": version(),
        # Not which ones: what root has found serves a service with just those that it needs.
        "capable": not missing_capabilities(),
    }
