"""What guests read most, as one tar archive.

A guest's root is the machine's, by 9p, where nothing is cached: every open, stat and page asks
QEMU, and under emulation an import of pytest takes half a minute. guest.sh gets this archive as
a disk, unpacks it to memory and mounts its parts over their originals: everything keeps its path.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from vagrant.matrix.kernels import CHECKOUT

__all__ = ["distributions", "mounts", "pack"]

MOUNTS = "mounts"  # the list of what to mount, in the archive's root
NEEDS = ("sockproxy", "pytest", "pytest-timeout", "jsonschema")
NOT_STANDARD = {
    "site-packages",
    "dist-packages",
    "test",
    "idlelib",
    "lib2to3",
    "tkinter",
    "ensurepip",
    "turtledemo",
    "pydoc_data",
}
NOT_CHECKOUT = {
    ".git",
    ".venv",
    "build",
    "dist",
    "results",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}


def pack(target: Path) -> None:
    """Write the archive. Compiles the tests first, as a guest would take a minute for it."""
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only"],
        cwd=CHECKOUT,
        capture_output=True,
    )
    files = {*standard(), *installed(), *checkout()}
    with tarfile.open(target, "w") as tar:
        for path in sorted(files):
            tar.add(path, recursive=False)
        listed = target.with_suffix(".mounts")
        listed.write_text("".join(f"{path}\n" for path in mounts()))
        tar.add(listed, MOUNTS)
        listed.unlink()


def mounts() -> list[Path]:
    """Folders and files that the archive holds, none of them inside of another."""
    found = [CHECKOUT, Path(sys.prefix), Path(sysconfig.get_path("stdlib")), *interpreter()]
    return [each for each in found if not any(other in each.parents for other in found)]


def interpreter() -> list[Path]:
    """Python's program, and libpython where the program is linked with it."""
    library = Path(sys.base_prefix, "lib", sysconfig.get_config_var("INSTSONAME") or "none")
    program = Path(sys.executable).resolve()
    return (
        [program, library.resolve()] if library.suffix != ".a" and library.is_file() else [program]
    )


def standard() -> Iterator[Path]:
    """Python's own library, and the interpreter."""
    yield from interpreter()
    top = Path(sysconfig.get_path("stdlib"))
    for path in below(top, NOT_STANDARD):
        if ".opt-" not in path.name and not path.relative_to(top).parts[0].startswith("config-"):
            yield path


def installed() -> Iterator[Path]:
    """The distributions that the tests need, and what makes the virtual environment one."""
    prefix = Path(sys.prefix)
    yield prefix / "pyvenv.cfg"
    yield from (path for path in (prefix / "bin").glob("python*"))
    yield from (prefix / "bin" / name for name in ("sockproxy", "pytest"))
    for each in distributions(NEEDS).values():
        for file in each.files or []:
            path = Path(os.path.normpath(Path(str(each.locate_file(file)))))
            if path.is_file():
                yield path


def distributions(names: Iterable[str]) -> dict[str, metadata.Distribution]:
    """These distributions and all that they require, by name."""
    found: dict[str, metadata.Distribution] = {}
    todo = list(names)
    while todo:
        name = re.split(r"[^\w.-]", todo.pop())[0].lower()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        todo += [each for each in found[name].requires or [] if "extra ==" not in each]
    return found


def checkout() -> Iterator[Path]:
    """Sources, tests, what was built from them, and their compiled form."""
    return below(CHECKOUT, NOT_CHECKOUT)


def below(top: Path, skip: set[str]) -> Iterator[Path]:
    """Files below a folder, without the folders in `skip`."""
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name not in skip]
        yield from (Path(folder, name) for name in files)
