"""Whether a mechanism is on, on with limits, or off on this kernel: what doctor found, kept.

Each mechanism is proved before it is used. What was found of one is kept in a file until the
next boot, for this kernel and this build of programs and probes; where there is nothing, doctor
is run. What could not be found out is not kept, and is neither on nor off.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sockproxy.bpf import version
from sockproxy.bpf.objects import read_object
from sockproxy.bpf.rights import missing_capabilities
from sockproxy.errors import SockproxyError
from sockproxy.proof.examination import ENOUGH, Examination
from sockproxy.proof.mechanisms import MECHANISMS, together
from sockproxy.rundir import runtime_root

__all__ = ["RIGHTS", "Verdict", "find_out", "forget", "keep", "kept", "kept_at", "learn",
           "silent", "verdict", "why_off"]  # fmt: skip

RIGHTS = "capabilities"  # the name of that probe
OBJECTS = ("splice.bpf.o", "bypass.bpf.o", "wakers.bpf.o")
PROBES = Path(__file__).resolve().parents[1] / "doctor"
UNKNOWN_HOLDS = 60.0  # seconds in which one process does not ask again


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one mechanism.

    failed: the failed probes that it needs, and what each found. limits: other failed probes,
    and what the mechanism does not do because of each. unknown: probes that it needs of which
    nothing was found out, and why not. lasts: whether it holds until the next boot.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    lasts: bool = True

    @property
    def on(self) -> bool:
        """Whether it can be used, with its limits if it has any."""
        return not self.failed and not self.unknown

    @property
    def known(self) -> bool:
        """Whether it was found out; if not it is neither on nor off."""
        return bool(self.failed) or not self.unknown

    @property
    def lacks_rights(self) -> bool:
        """Whether it is off for want of capabilities, and not for what the kernel is."""
        return RIGHTS in self.failed

    @property
    def why_off(self) -> str:
        """The probe that switched it off, or found nothing out, in words; "" when it is on."""
        for name, found in (self.failed or self.unknown).items():
            others = len(self.failed or self.unknown) - 1
            return f"{name}: {found}" + (f" (and {others} more)" if others else "")
        return ""


_found: dict[str, tuple[Verdict, float]] = {}
"""What this process knows, each until a moment of time.monotonic()."""


def kept(mechanism: str) -> Verdict | None:
    """What is known of it without asking doctor, if anything is."""
    if (found := _remembered(mechanism)) is None:
        learn(_read())
        found = _remembered(mechanism)
    return found


def verdict(mechanism: str) -> Verdict:
    """What holds for a mechanism; has doctor find out what nobody did since the last boot."""
    if (found := kept(mechanism)) is None:
        find_out(together(mechanism))
        found = _remembered(mechanism)
    return found or _no_answer("no answer")


def why_off(mechanism: str) -> str:
    """Why a mechanism must not be used here, as a phrase; "" when it may."""
    found = verdict(mechanism)
    if found.on:
        return ""
    if not found.known:
        return f"could not find out whether {mechanism} is safe here: {found.why_off}"
    where = "on this kernel" if found.lasts else "for now"
    if found.lacks_rights:
        where = "for want of rights"
    return f"{mechanism} is off {where}: {found.why_off}"


def silent(line: str) -> None:
    """Tell nobody."""


def find_out(mechanisms: Iterable[str], tell: Callable[[str], None] = silent) -> None:
    """Have doctor find out about those that are not known yet; a minute is the most it takes.

    It is run apart: its probes fork, which a program with threads must not.

    tell: receives a line for each thing that takes long.
    """
    if not (asked := [each for each in mechanisms if kept(each) is None]):
        return
    tell("finding out what this kernel can do, once for each boot")
    why = "no answer"
    try:
        with contextlib.closing(Examination(asked)) as examination:
            for said in examination.said_within(ENOUGH):
                if "told" in said:
                    tell(said["told"])
                learn(read_verdicts(said))
            why = examination.why_no_answer()
    except OSError as error:
        why = f"it cannot be started: {error.strerror}"
    learn({each: _no_answer(why) for each in asked if _remembered(each) is None})


def learn(verdicts: Mapping[str, Verdict]) -> None:
    """Know these from now on: what was found out for good, the rest for a minute."""
    soon = time.monotonic() + UNKNOWN_HOLDS
    for name, each in verdicts.items():
        if each.known or name not in _found or not _found[name][0].known:
            _found[name] = (each, float("inf") if each.known else soon)


def forget() -> None:
    """Know nothing but what is kept."""
    _found.clear()


def _remembered(mechanism: str) -> Verdict | None:
    found, until = _found.get(mechanism, (None, 0.0))
    return found if time.monotonic() < until else None


def _no_answer(why: str) -> Verdict:
    return Verdict(unknown={"doctor": why}, lasts=False)


def read_verdicts(document: Any) -> dict[str, Verdict]:
    """The verdicts in a document that has some; none where it has another shape."""
    try:
        return {
            name: Verdict(each["failed"], each["limits"], each["unknown"], each["lasts"])
            for name, each in document["verdicts"].items()
            if name in MECHANISMS
        }
    except (KeyError, TypeError, AttributeError):  # no verdicts; or of another version of us
        return {}


def keep(verdicts: Mapping[str, Verdict]) -> Path | None:
    """Keep those that last until the next boot; where, or None if nothing could be kept.

    What was kept of others stays.
    """
    place = kept_at()
    lasting = {name: each for name, each in verdicts.items() if each.lasts and each.known}
    if place is None or not lasting:
        return None
    try:
        of = _identity()
    except SockproxyError:  # without libbpf, or our objects
        return None
    all_kept = {name: asdict(each) for name, each in (_read() | lasting).items()}
    aside = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        with open(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump({"of": of, "verdicts": all_kept}, file)
        aside.rename(place)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        return None
    forget()
    return place


def kept_at() -> Path | None:
    """The file, on a file system that a boot empties; None where this user has no such one."""
    if os.geteuid() == 0 or "XDG_RUNTIME_DIR" in os.environ:
        return runtime_root().with_name("sockproxy-doctor.json")
    return None


def _read() -> dict[str, Verdict]:
    """What was kept, if it is of this boot, this kernel, these programs and these rights."""
    place = kept_at()
    if place is None:
        return {}
    try:
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as file:
            about = os.fstat(file.fileno())
            writable = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if about.st_uid not in (0, os.geteuid()) or writable:
                return {}
            document = json.load(file)
        if document["of"] != _identity():
            return {}
        return read_verdicts(document)
    except (OSError, ValueError, KeyError, TypeError, SockproxyError):
        return {}


def _identity() -> dict[str, Any]:
    """What the findings hold for. Raises SockproxyError."""
    probes = hashlib.sha256()
    for source in sorted(PROBES.rglob("*.py")):
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
