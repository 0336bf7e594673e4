"""Debian's sources, fetched by apt with a configuration of its own and built below build/suites;
nothing is installed."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from sockproxy.bench.interrupt import Undo
from tests.suites.errors import SuiteError
from tools.apt_sources import read_sources
from vagrant.matrix.sources import find_source, write_apt

__all__ = ["Buildable", "Built", "fetch", "working_folder"]

TAIL = 400  # characters of what failed that are shown
Say = Callable[[str], None]


class Buildable(Protocol):
    """What is to be known of a source."""

    def build(self, tree: Path) -> Iterable[Sequence[str]]:
        """The commands that build it, in its source tree; each has run before the next is taken."""


@dataclass(frozen=True, slots=True)
class Built:
    """A source that has been built. tree: its folder; version: Debian's."""

    version: str
    tree: str


def fetch(source: str, kind: Buildable, folder: Path, update: bool, say: Say) -> Built:
    """The source, from `folder` if it is there; `update` asks whether there is a newer one.

    Raises SuiteError.
    """
    record = folder / "built.json"
    have = Built(**json.loads(record.read_text())) if record.exists() else None
    if have and Path(have.tree).exists() and not update:
        return have
    conf = _update(folder / "apt", say)
    version = _newest(source, conf)
    if have and have.version == version and Path(have.tree).exists():
        return have
    record.unlink(missing_ok=True)
    unpacked = folder / "source"
    shutil.rmtree(unpacked, ignore_errors=True)  # an older version's
    unpacked.mkdir()
    say(f"fetches {source} {version}")
    _run(["apt-get", "-qq", "-c", str(conf), "source", f"{source}={version}"], unpacked)
    tree = next(each for each in unpacked.iterdir() if each.is_dir())
    say(f"builds {tree.name}")
    for command in kind.build(tree):
        _run(command, tree)
    built = Built(version, str(tree))
    record.write_text(json.dumps(asdict(built)))
    return built


def _update(folder: Path, say: Say) -> Path:
    """Set up an apt that knows the sources of the machine's own release; the path of its
    configuration."""
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    found = read_sources()
    suites = (own, f"{own}-security")
    archives = [(each, find_source(found, each)) for each in suites]
    stanzas = [each.stanza(suite, types="deb-src") for suite, each in archives if each]
    if not stanzas:
        raise SuiteError("no apt source gives this machine Debian's main")
    conf = write_apt(folder, stanzas)
    say("asks Debian for sources")
    _run(["apt-get", "-qq", "-c", str(conf), "update"], folder)
    return conf


def _newest(source: str, conf: Path) -> str:
    """The version of the source that apt would fetch."""
    told = _run(["apt-cache", "-c", str(conf), "showsrc", "--only-source", source], conf.parent)
    newest = ""
    for version in re.findall(r"^Version: (\S+)$", told, re.M):
        compared = ["dpkg", "--compare-versions", version, "gt", newest]
        if not newest or subprocess.run(compared).returncode == 0:
            newest = version
    if not newest:
        raise SuiteError(f"Debian has no source {source}")
    return newest


def _run(argv: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise SuiteError(f"{argv[0]}: {error.strerror}", "tools/setup-debian suites") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-TAIL:]
        raise SuiteError(f"{' '.join(argv)}: {said}", "tools/setup-debian suites")
    return done.stdout


@contextlib.contextmanager
def working_folder(tree: Path | None) -> Iterator[Path]:
    """A folder for one run, with links to all files of a source tree; gone afterwards.

    Its name is short: unix sockets are made below it.
    """
    with Undo() as undo:
        folder = Path(tempfile.mkdtemp(prefix="suite-"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        if tree is not None:
            shutil.copytree(tree, folder, copy_function=os.symlink, dirs_exist_ok=True)
        yield folder
