"""The file in which proofs are kept until the next boot: its one writer and its one reader.

It holds for this boot, this kernel and this build of programs and probes. A proof that is not
known, or holds only for now, is never written.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sockproxy import proof
from sockproxy.bpf import version
from sockproxy.bpf.loading import CASTING, TRIAL
from sockproxy.bpf.objects import read_object
from sockproxy.bpf.rights import missing_capabilities
from sockproxy.errors import SockproxyError
from sockproxy.proof.proof import Proof, from_document, to_document
from sockproxy.rundir import runtime_root

__all__ = ["kept_at", "read", "write"]

OBJECTS = ("splice.bpf.o", *CASTING, *CASTING.values(), TRIAL, "wakers.bpf.o")


def kept_at() -> Path | None:
    """Where the file is, which a boot empties; None where this user has no such place."""
    if os.geteuid() == 0 or "XDG_RUNTIME_DIR" in os.environ:
        return runtime_root().with_name("sockproxy-doctor.json")
    return None


def write(proofs: Mapping[str, Proof]) -> Path | None:
    """Keep those proofs that last until the next boot, beside what was kept of other mechanisms.

    Returns the file; None if nothing could be kept, or there is nothing that lasts.
    """
    place = kept_at()
    lasting = {name: each for name, each in proofs.items() if each.lasts and each.known}
    if place is None or not lasting:
        return None
    try:
        of = _identity()
    except SockproxyError:  # without libbpf, our objects, or a prover
        return None
    document = {"of": of, **to_document(read() | lasting)}
    aside = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        with open(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(document, file)
        aside.rename(place)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        return None
    return place


def read() -> dict[str, Proof]:
    """What was kept, by mechanism, if it is of this boot, kernel and build, and of these rights."""
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
        return from_document(document)
    except (OSError, ValueError, KeyError, TypeError, SockproxyError):
        return {}


def _identity() -> dict[str, Any]:
    """What the proofs hold for, as JSON has it. Raises SockproxyError."""
    probes = hashlib.sha256()
    for source in _prover_sources():
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


def _prover_sources() -> list[Path]:
    """The files of the package that proves, in order. Raises SockproxyError where there is none."""
    spec = importlib.util.find_spec(proof.prover) if proof.prover else None
    if spec is None or not spec.submodule_search_locations:
        raise SockproxyError("no prover is registered", hint="import sockproxy registers one")
    return sorted(
        each for place in spec.submodule_search_locations for each in Path(place).rglob("*.py")
    )
