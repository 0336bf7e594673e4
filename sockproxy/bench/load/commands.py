"""Any program as a tool: a server and a client that are command lines, and where the client's
figure is. They are typed, or stand in a TOML file:

    title = "memtier to memcached"        for tables; the client's name when left out
    server = ["memcached", "-l", "$address", "-p", "$port"]
    client = ["memtier_benchmark", "-s", "$address", "-p", "$port", "--test-time", "$seconds"]
    figure = '^Totals +([0-9.]+)'         a regular expression with one group, or a JSONPath
    each_second = '^ *[0-9]+s: ([0-9.]+)'  the same of each second; may be left out
    unit = "requests/s"                   "figure" when left out
    less_is_better = false                true for a latency
    port = 11211                          where the server listens, and what passes the proxies
    ready = 11211                         where it listens first, if that is another port
    install = "apt-get install ..."       how to install both

Placeholders are $address, $port, $seconds, $size, $connections, and $folder, which is empty and
removed at the end. A dollar is written $$. No shell reads them: write sh -c '...' for one.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sockproxy.bench import placeholders
from sockproxy.bench.load.base import TOLD, Host, Load, Outcome, Target, Test, Tool
from sockproxy.bench.load.figure import Finder, read_finder
from sockproxy.bench.result.metrics import Metric
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.tables import read_table
from sockproxy.text import clean

__all__ = ["Commands", "Description", "find_commands", "split"]

PORT = 7070
UNIT = "figure"
SIZE = 64  # bytes of a message, where nothing else is said
MOST_RAW = 1 << 16  # characters of a client's output that are kept
SETTLED = 0.3  # seconds after which a server that goes into the background has ended
_KNOWN = ("address", "port", "seconds", "size", "connections", "folder")
_KEYS = {
    *("title", "server", "client", "figure", "each_second", "unit", "less_is_better"),
    *("port", "ready", "install"),
}


@dataclass(frozen=True, slots=True)
class Description:
    """What somebody has written of a tool.

    server, client: the words of command lines. figure: where it is in what the client prints.
    each_second: where the figures of each second are, if anywhere. title: the client's name, if
    None. port: the server's, to which the connections go that are measured; None for PORT, and
    then `client` has to name it. ready: the port that the server listens on when it is ready, if
    that is another.
    """

    server: Sequence[str]
    client: Sequence[str]
    figure: Finder
    each_second: Finder | None = None
    title: str | None = None
    unit: str | None = None
    less_is_better: bool = False
    port: int | None = None
    ready: int | None = None
    install: str = ""

    def check(self, where: object) -> None:
        """Raise UsageError for a placeholder that is none, or a client without its port. where:
        the file or the options that this was written in."""
        for words in (self.server, self.client):
            placeholders.check(words, _KNOWN, where)
        if self.port is None and "port" not in placeholders.named(self.client):
            raise UsageError(
                f"{where}: the client has no $port",
                hint="write it, in single quotes for a shell, or say which port the server has",
            )

    @property
    def test(self) -> Test:
        """The tool's only test, which has a size and a number of connections where the commands
        have placeholders for them."""
        used = placeholders.named([*self.server, *self.client])
        sized, many = "size" in used, "connections" in used
        size = SIZE if sized else 0
        return Test(size, "", sized=sized, many=many, connections=int(many))


class Commands(Tool):
    """A tool made of two command lines. where: as Description.check() has it, and raises."""

    untried = True

    def __init__(self, it: Description, where: object) -> None:
        it.check(where)
        self._server, self._client = _found(it.server), _found(it.client)
        self._figure, self._each_second = it.figure, it.each_second
        self.title = it.title or Path(it.client[0]).name
        self.name = _slug(self.title)
        self.programs = tuple(dict.fromkeys((self._client[0], self._server[0])))
        self.install = it.install
        self.versions: Mapping[str, Sequence[str]] = {}
        self.port = it.port or PORT
        self._ready = it.ready or self.port
        metric = Metric(f"figure_{self.name}", it.unit or UNIT, not it.less_is_better, digits=3)
        self.metrics = {metric.key: metric}
        self.tests = {"": replace(it.test, headline=metric.key)}

    def serve(self, load: Load, host: Host) -> None:
        target = Target(host.address, host.folder)
        argv = self._filled(self._server, load, target)
        server = host.start(argv, ports=[self._ready], folder=Path.cwd())
        # One that leaves a child to serve ends just after that listens. Nobody would see when
        # the child ends, nor what it says.
        time.sleep(SETTLED)
        server.check()

    def command(self, load: Load, target: Target, amount: int) -> list[str]:
        return self._filled(self._client, load, target)

    def read(self, load: Load, output: str, amount: int) -> Outcome:
        try:
            figure = self._figure.find(output)
            course = self._each_second.find_all(output) if self._each_second else ()
        except SockproxyError as error:
            said = clean(" ".join(output.split()))[-TOLD:] or "nothing"
            raise SockproxyError(f"{self.title}: {error}; it printed {said}") from None
        values = {self.tests[load.test].headline: figure}
        return Outcome(values, payload=0, raw=output[-MOST_RAW:], each_second=course)

    def described(self) -> dict[str, Any]:
        """The commands as a document keeps them: enough to repeat the run."""
        return {
            "server": shlex.join(self._server),
            "client": shlex.join(self._client),
            "figure": self._figure.text,
            "each_second": self._each_second.text if self._each_second else None,
            "port": self.port,
            "ready": self._ready,
        }

    def _filled(self, words: Sequence[str], load: Load, target: Target) -> list[str]:
        values = {
            "address": target.address,
            "port": self.port,
            "seconds": load.seconds,
            "size": load.size,
            "connections": load.connections,
            "folder": target.folder,
        }
        return placeholders.fill(words, values, self.title)


def split(text: str, where: object) -> list[str]:
    """The words of a command line, quotes obeyed. Raises UsageError for one that has none, or
    whose quotes do not close."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{where}: {text!r}: {error}") from None
    if not words or not words[0]:
        raise UsageError(f"{where}: there is no program", hint="write a command line")
    return words


def find_commands(path: Path) -> Commands:
    """The tool that a TOML file describes. Raises UsageError for a file that is wrong."""
    table = read_table(path, _KEYS)

    def finder(key: str) -> Finder:
        return table.parsed(key, read_finder, table.text(key))

    def port(key: str) -> int:
        return table.number(key, None, 1, 65535)

    described = Description(
        table.texts("server"),
        table.texts("client"),
        finder("figure"),
        each_second=table.if_there("each_second", finder),
        title=table.text("title", path.stem),
        unit=table.if_there("unit", table.text),
        less_is_better=table.flag("less_is_better"),
        port=table.if_there("port", port),
        ready=table.if_there("ready", port),
        install=table.text("install", "see its TOML file"),
    )
    return Commands(described, path)


def _found(words: Sequence[str]) -> list[str]:
    """The words, the first of which names the same program whatever folder it is started in."""
    program = os.path.abspath(words[0]) if "/" in words[0] else words[0]
    return [program, *words[1:]]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "commands"
