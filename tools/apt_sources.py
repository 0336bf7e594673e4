"""Where this machine gets Debian from: the sources of its apt, in both of their formats.

Used by enable-non-free before there is a virtual environment: the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Source", "read_sources"]

APT = Path("/etc/apt")
ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(.+)")
# The fields of deb822 style whose name is not that of the option in one-line style.
OPTIONS = {"arch": "architectures", "lang": "languages", "target": "targets"}
PLACE = ("types", "uris", "suites", "components", "enabled")


@dataclass(frozen=True, slots=True)
class Source:
    """An archive that gives Debian's component main.

    suites: those that the machine takes from it.
    options: the other fields of its entry, such as "signed-by", the names in small letters.
    """

    uri: str
    suites: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)

    def stanza(self, suite: str, component: str = "main", types: str = "deb") -> str:
        """The entry, in deb822 style, for another suite or component of it, or its sources."""
        options = "".join(f"{name.title()}: {value}\n" for name, value in self.options.items())
        return (
            f"Types: {types}\nURIs: {self.uri}\nSuites: {suite}\nComponents: {component}\n{options}"
        )


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


def from_list(text: str) -> Iterator[Source]:
    """The sources of a file in one-line style."""
    for line in text.splitlines():
        found = ONE_LINE.fullmatch(line.split("#")[0].strip())
        if found and "main" in found[4].split():
            options = (each.partition("=") for each in (found["options"] or "").split())
            fields = {
                OPTIONS.get(name.lower(), name.lower()): value.replace(",", " ")
                for name, _, value in options
            }
            yield Source(found["uri"], (found["suite"],), fields)


def from_sources(text: str) -> Iterator[Source]:
    """The enabled sources of a file in deb822 style."""
    for stanza in re.split(r"\n\s*\n", text):
        entry = _fields(stanza)
        if "deb" not in entry.get("types", "").split() or entry.get("enabled", "").lower() == "no":
            continue
        if "main" in entry.get("components", "").split() and entry.get("uris"):
            suites = tuple(entry.get("suites", "").split())
            options = {name: value for name, value in entry.items() if name not in PLACE}
            yield Source(entry["uris"], suites, options)


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace():  # the field goes on, as an embedded key does
            fields[name] = fields.get(name, "") + "\n" + line
        else:
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = value.strip()
    return fields
