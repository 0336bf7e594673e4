"""Lays out what a package installs: python -m package.stage WHEEL FOLDER.

The libraries are those of the environment that runs this, so that a package has what the tests ran
with, and no network is needed. Debian's python3 must be of the same version, as some are compiled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Set
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tools import man_pages

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3"
LIBRARY = "usr/lib/sockproxy"
# Debian's rich does for `top`, jinja2 and matplotlib for reports; prometheus_client is too old.
EXTRAS = {"bench", "metrics", "tap"}
UNITS = "lib/systemd/system"  # in Debian 12; a link leads there from /usr/lib
COMMAND = f"""\
#!{PYTHON} -P
import sys

sys.path.insert(0, "/{LIBRARY}")

from sockproxy.cli import main

main()
"""
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/sockproxy",
    "zsh": "usr/share/zsh/vendor-completions/_sockproxy",
    "fish": "usr/share/fish/vendor_completions.d/sockproxy.fish",
}


def main() -> None:
    """Fill the folder, which is made."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m package.stage WHEEL FOLDER")
    wheel, folder = Path(sys.argv[1]), Path(sys.argv[2])
    check_python()
    install_libraries(wheel, folder / LIBRARY)
    command = folder / "usr/bin/sockproxy"
    write(command, COMMAND)
    command.chmod(0o755)
    for unit in sorted((ROOT / "cgroup").glob("sockproxy*.s[el]*ice")):
        copy(unit, folder / UNITS / unit.name)
    man_pages.write_pages(folder / "usr/share/man/man1")
    for shell, place in COMPLETIONS.items():
        write(folder / place, completion(shell))
    for document in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        copy(document, folder / "usr/share/doc/sockproxy" / document.name)
    copy(ROOT / "cgroup/README.md", folder / "usr/share/doc/sockproxy/units.md")
    shutil.copytree(ROOT / "cgroup/example", folder / "usr/share/doc/sockproxy/examples")
    copy(ROOT / "package/etc-readme", folder / "etc/sockproxy/README")
    copy(ROOT / "cgroup/sockproxy.logrotate", folder / "etc/logrotate.d/sockproxy")


def check_python() -> None:
    """Ends this program where Debian's python3 could not import what is compiled for this one."""
    code = "import sys; print(*sys.version_info[:2], sep='.')"
    theirs = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout
    if (ours := f"{sys.version_info.major}.{sys.version_info.minor}") != theirs.strip():
        sys.exit(
            f"the virtual environment has Python {ours}, and {PYTHON} is {theirs.strip()}:"
            f" make it anew with 'make clean setup PYTHON={PYTHON}'"
        )


def install_libraries(wheel: Path, target: Path) -> None:
    """The wheel, and all that it needs."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-index", "--no-deps", "--no-compile", "--target", target, wheel], check=True
    )
    shutil.rmtree(target / "bin")  # the command is written above
    for each in needed("sockproxy", {""} | EXTRAS, set()):
        install_library(each, target)


def install_library(library: Distribution, target: Path) -> None:
    """What it has to be imported; its commands are left out."""
    for file in library.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            copy(Path(str(library.locate_file(file))), target / file)


def needed(name: str, extras: Set[str], seen: set[str]) -> Iterator[Distribution]:
    """What a distribution needs, with some of its extras, each once."""
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": each}) for each in extras):
            continue
        if requirement.name not in seen:
            seen.add(requirement.name)
            yield distribution(requirement.name)
            yield from needed(requirement.name, {""} | requirement.extras, seen)


def completion(shell: str) -> str:
    """What that shell reads, as click writes it."""
    return subprocess.run(
        [Path(sys.executable).with_name("sockproxy")],
        env=os.environ | {"_SOCKPROXY_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def write(path: Path, text: str) -> None:
    """A file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


def copy(source: Path, target: Path) -> None:
    """A file, and the folders above it; it is executable nowhere."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    main()
