"""Where this machine gets Debian from, and an apt of our own that gets other suites there.

Nothing of the machine's apt is changed: lists, packages and configuration lie in one folder.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Source", "find_source", "read_sources", "write_apt"]

APT = Path("/etc/apt")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"  # of debian-archive-keyring
ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(.+)")


@dataclass(frozen=True, slots=True)
class Source:
    """An archive. suites: those that the machine takes from it; key: a path, or a key block."""

    uri: str
    suites: tuple[str, ...]
    key: str = KEYRING

    def stanza(self, suite: str) -> str:
        """The entry, in deb822 style, for another suite of it."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {suite}\nComponents: main\n"
            f"Signed-By: {self.key}\n"
        )


def from_list(text: str) -> Iterator[Source]:
    """The sources with the component main in one-line style."""
    for line in text.splitlines():
        found = ONE_LINE.fullmatch(line.split("#")[0].strip())
        if found and "main" in found[4].split():
            options = dict(each.split("=", 1) for each in (found["options"] or "").split())
            yield Source(found["uri"], (found["suite"],), options.get("signed-by", KEYRING))


def from_sources(text: str) -> Iterator[Source]:
    """The enabled sources with the component main in deb822 style."""
    for stanza in re.split(r"\n\s*\n", text):
        entry: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace():  # the field goes on, as an embedded key does
                entry[name] += "\n" + line
            else:
                name, _, value = line.partition(":")
                name = name.lower()
                entry[name] = value.strip()
        if "deb" not in entry.get("types", "").split() or entry.get("enabled", "yes") == "no":
            continue
        if "main" in entry.get("components", "").split() and entry.get("uris"):
            suites = tuple(entry.get("suites", "").split())
            yield Source(entry["uris"].split()[0], suites, entry.get("signed-by") or KEYRING)


def read_sources(folder: Path = APT) -> list[Source]:
    """All that the machine's apt knows."""
    read = {".list": from_list, ".sources": from_sources}
    paths = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    return [
        source
        for path in paths
        if path.is_file() and path.suffix in read
        for source in read[path.suffix](path.read_text())
    ]


def find_source(sources: list[Source], suite: str) -> Source | None:
    """The archive that has `suite`: the one that gives the machine its own suite of that sort."""
    try:
        own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        own = ""
    wanted = f"{own}-security" if suite.endswith("-security") else own
    return next((source for source in sources if own and wanted in source.suites), None)


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
