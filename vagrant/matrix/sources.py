"""Kernels of other suites come from where the machine's own suite comes from, by an apt of our own.

Nothing of the machine's apt is changed: lists, packages and configuration lie in one folder.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

from tools.apt_sources import Source

__all__ = ["find_source", "write_apt"]

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"  # of debian-archive-keyring


def find_source(sources: list[Source], suite: str) -> Source | None:
    """The archive that has `suite`: the one that gives the machine its own suite of that sort."""
    try:
        own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        own = ""
    wanted = f"{own}-security" if suite.endswith("-security") else own
    for source in sources:
        if own and wanted in source.suites:
            return replace(source, options={"signed-by": KEYRING, **source.options})
    return None


def write_apt(folder: Path, stanzas: list[str]) -> Path:
    """The configuration of an apt that lives in `folder`; returns the path, for apt's -c."""
    for each in ("state/lists/partial", "cache/archives/partial"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    sources, conf = folder / "debian.sources", folder / "apt.conf"
    sources.write_text("\n".join(stanzas))
    values = {
        "Dir::State": folder / "state",
        "Dir::State::status": "/dev/null",  # nothing is installed, so nothing is kept back
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Acquire::Languages": "none",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",  # else it could not write here
    }
    # Hooks of the machine's configuration look after its own lists and packages, not these.
    hooks = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
    lines = [f'{key} "{value}";' for key, value in values.items()]
    lines += [f"#clear APT::Update::{hook};" for hook in hooks]
    conf.write_text("\n".join(lines) + "\n")
    return conf
