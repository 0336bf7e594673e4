"""Proxies under test: each is a TOML file in `peers/`, with what it needs to run.

    title = "HAProxy"                    for tables
    about = "..."                        how it is set up, in a sentence
    program = "haproxy"                  what must be installed
    install = "apt-get install haproxy"  how
    version = ["haproxy", "-v"]
    argv = ["haproxy", "-db", "-f", "$config"]
    config = "haproxy.cfg"               a file beside this one, filled in; may be left out
    counts = true                        sockproxy's own: `sockproxy status` has its counters
    bypassed = true                      client and server are in a bypass, as in "bypass"
    all_readers = true                   with the options of "bypass-all"

In `argv` and in the file of `config` stand: $address and $port to listen on; $upstream_address
and $upstream_port to connect to; $folder for its own files; $config; $name, which is nobody
else's; $python. A dollar is written $$.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sockproxy.bench.placeholders import fill
from sockproxy.bench.workplace import data_folder, find_program
from sockproxy.tables import Table, read_table

__all__ = ["Peer", "find_peers"]

_KNOWN = {
    "title",
    "about",
    "program",
    "install",
    "version",
    "argv",
    "config",
    "counts",
    "bypassed",
    "all_readers",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy. file: its TOML; the other fields are the keys of that. config: name and text of
    its configuration, in which placeholders are not yet filled in."""

    key: str
    file: Path
    title: str
    about: str
    program: str
    install: str
    version: tuple[str, ...]
    argv: tuple[str, ...]
    config: tuple[str, str] | None
    counts: bool
    bypassed: bool = False
    all_readers: bool = False

    @property
    def short_circuits(self) -> bool:
        """Whether it is sockproxy's own proxy, with client and server in a bypass."""
        return self.counts and self.bypassed and not self.relays

    @property
    def relays(self) -> bool:
        """Whether it is sockproxy's own proxy with --relay, which stays in user space."""
        return self.counts and "--relay" in self.argv

    def is_missing(self) -> bool:
        """Whether its program is not installed."""
        return find_program(self.program) is None

    def version_command(self) -> list[str]:
        """The command line that prints its version."""
        return [word.replace("$python", sys.executable) for word in self.version]

    def command(self, folder: Path, values: Mapping[str, object]) -> list[str]:
        """The command line, once its configuration is written to `folder`.

        Raises UsageError for a placeholder that is none.
        """
        values = {**values, "folder": folder, "python": sys.executable}
        if self.config is not None:
            name, text = self.config
            values["config"] = folder / Path(name).name
            (written,) = fill([text], values, self.file)
            (folder / Path(name).name).write_text(written)
        return fill(self.argv, values, self.file)


def find_peers(extra: Path | None = None) -> dict[str, Peer]:
    """All peers that come with sockproxy, and those in the folder `extra`, by name.

    Raises UsageError for a file that is wrong.
    """
    folders = [data_folder() / "peers", *([extra] if extra else [])]
    files = [file for folder in folders for file in sorted(folder.glob("*.toml"))]
    return {file.stem: _read(file) for file in files}


def _read(file: Path) -> Peer:
    table = read_table(file, _KNOWN)
    return Peer(
        key=file.stem,
        file=file,
        title=table.text("title"),
        about=table.text("about"),
        program=table.text("program"),
        install=table.text("install"),
        version=tuple(table.texts("version")),
        argv=tuple(table.texts("argv")),
        config=_configuration(table) if table.has("config") else None,
        counts=table.flag("counts"),
        bypassed=table.flag("bypassed"),
        all_readers=table.flag("all_readers"),
    )


def _configuration(table: Table) -> tuple[str, str]:
    """Name and text of the file that `config` names, beside the peer's own."""
    name = table.text("config")
    try:
        return name, (table.path.parent / name).read_text()
    except OSError as error:
        raise table.wrong("config", f"read {name}: {error.strerror}") from None
    except ValueError:
        raise table.wrong("config", f"{name} is no UTF-8, or no name of a file") from None
