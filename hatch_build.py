"""Makes what the wheel holds besides sources: BPF objects, the native worker, and their bindings.

Hatchling runs this as a build hook; ``python hatch_build.py`` does the same in place,
for a checkout whose C sources have changed. Needs clang and llvm-strip.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cffi import CDefError
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("bpf")
OBJECTS = Path("sockproxy/_bpf")
ABI = SOURCES / "abi"
BUILDER = Path("sockproxy/bpf/_build.py")
BINDING = Path("sockproxy/bpf/_binding.py")
LAYOUT = Path("sockproxy/bpf/_layout.py")
WORKER = Path("native")
NATIVE = Path("sockproxy/native/_native.so")
NATIVE_BUILDER = Path("sockproxy/native/_build.py")
NATIVE_BINDING = Path("sockproxy/native/_binding.py")
NATIVE_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-fPIC", "-shared")
NATIVE_CHECKS = ("-fvisibility=hidden", "-fstack-protector-strong", "-Wall", "-Wextra", "-Werror")
GUARD = re.compile(r"#(ifndef \w+|define \w+|endif)")
TARGET = ("-target", "bpf", "-mcpu=v3", "-Wall", "-Werror")


class BuildError(Exception):
    """An artifact could not be made; the text says why and what to do."""


def find_tool(name: str) -> str:
    """Where `name` is; raises BuildError when it is not on PATH."""
    path = shutil.which(name)
    if path is None:
        raise BuildError(
            f"cannot build sockproxy's BPF objects: {name} is not on PATH"
            " (Debian: apt install clang llvm libbpf-dev)"
        )
    return path


def include_flags(root: Path) -> list[str]:
    """-I flags for bpf/, which every #include "..." is relative to, and for the <asm/...> headers,
    which Debian keeps per architecture."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    system = Path("/usr/include") / multiarch
    return [f"-I{root / SOURCES}"] + ([f"-I{system}"] if system.is_dir() else [])


def run(*command: str | Path) -> None:
    """Run `command`; raises BuildError with what it wrote if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        line = " ".join(map(str, command))
        raise BuildError(f"{line}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def compile_object(root: Path, source: Path, target: Path) -> None:
    """Compile `source` to the BPF object `target`: with BTF, without DWARF."""
    clang, strip = find_tool("clang"), find_tool("llvm-strip")
    run(clang, "-O2", "-g", *TARGET, *include_flags(root), "-c", source, "-o", target)
    run(strip, "-g", target)


def compile_worker(root: Path, target: Path) -> None:
    """compile native/ to the shared library `target`, which needs libc alone."""
    sources = sorted((root / WORKER).glob("*.c"))
    if not sources:
        raise BuildError(f"no *.c in {root / WORKER}")
    headers = f"-I{root / SOURCES}"  # what lies in maps: bpf/abi/
    run(find_tool("clang"), *NATIVE_FLAGS, *NATIVE_CHECKS, headers, *sources, "-o", target)


def check_layouts(root: Path, builder: dict[str, Any], aside: Path) -> None:
    """Have clang confirm the offset and size of everything in bpf/abi/ as cffi has it.

    Raises BuildError with the field or struct that the two lay out differently.
    """
    checks = aside / "layout_checks.c"
    try:
        checks.write_text(builder["layout_checks"](builder["read_layouts"](root / ABI)))
        run(find_tool("clang"), *TARGET, *include_flags(root), "-fsyntax-only", checks)
    except BuildError as error:
        raise BuildError(f"clang and cffi read {ABI}/ differently:\n{error}") from None
    finally:
        checks.unlink(missing_ok=True)


def declarations(header: Path, includes: Collection[str]) -> str:
    """What `header` declares, for cffi, which sees nothing of the preprocessor: a guard may stand
    there, and these #includes. Raises ValueError for what clang alone would obey."""
    lines = header.read_text(encoding="ascii").splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("#") and not GUARD.fullmatch(line) and line not in includes:
            raise ValueError(f"{header}:{number}: cffi does not know {line!r}: no macros here")
    return "\n".join("" if line.startswith("#") else line for line in lines)


def load_builder(root: Path, builder: Path, headers: Path) -> dict[str, Any]:
    """What `builder` defines, which is given declarations(). It is run as a file, because the
    package cannot be imported before it has its binding. Raises BuildError for headers that cffi
    cannot read."""
    try:
        return runpy.run_path(str(root / builder), {"declarations": declarations})
    except (ValueError, CDefError) as error:
        raise BuildError(f"cannot read {headers}/: {error}") from None


def write_binding(builder: dict[str, Any], target: Path) -> None:
    """Write cffi's out-of-line ABI module."""
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it writes
        builder["ffibuilder"].emit_python_code(str(target))


def write_python(root: Path, builder: dict[str, Any], aside: Path) -> None:
    """Write the binding, and the enums and structs that type checkers see.

    Raises BuildError for what has no form in Python.
    """
    write_binding(builder, aside / BINDING.name)
    try:
        (aside / LAYOUT.name).write_text(builder["python_of"](root / ABI))
    except ValueError as error:
        raise BuildError(f"cannot make Python of {ABI}/: {error}") from None


def build(root: Path) -> list[Path]:
    """Make all artifacts below `root`; returns their paths relative to it.

    Each appears whole or not at all: it is made aside and moved into place, so that
    a process which has the old one open is not disturbed.
    """
    sources = sorted((root / SOURCES).glob("*/*.bpf.c"))
    if not sources:
        raise BuildError(f"no *.bpf.c in the folders of {root / SOURCES}")
    (root / OBJECTS / ABI.name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root / OBJECTS, prefix=".build-") as folder:
        aside = Path(folder)
        find_tool("clang")  # first: what is missing is to be told before what is wrong
        builder = load_builder(root, BUILDER, ABI)
        check_layouts(root, builder, aside)
        made: list[Path] = []
        for source in sources:
            name = source.name.removesuffix(".c") + ".o"
            compile_object(root, source, aside / name)
            made.append(OBJECTS / name)
        for header in sorted((root / ABI).glob("*.h")):
            shutil.copyfile(header, aside / header.name)
            made.append(OBJECTS / ABI.name / header.name)
        write_python(root, builder, aside)
        made += [BINDING, LAYOUT]
        for place in made:
            os.replace(aside / place.name, root / place)
        compile_worker(root, aside / NATIVE.name)
        write_binding(load_builder(root, NATIVE_BUILDER, WORKER), aside / NATIVE_BINDING.name)
        for place in (NATIVE, NATIVE_BINDING):
            os.replace(aside / place.name, root / place)
    return [*made, NATIVE, NATIVE_BINDING]


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs for wheels, editable ones included, and not for the sdist."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the artifacts and tell hatchling about them (`version`: how it is built)."""
        try:
            made = build(Path(self.root))
        except BuildError as error:
            self.app.abort(str(error))
            return
        build_data["artifacts"] += [f"/{path.as_posix()}" for path in made]
        # Linux only, and objects are for one kind of machine.
        platform_tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform_tag}"
        build_data["pure_python"] = False


if __name__ == "__main__":
    try:
        build(Path(__file__).resolve().parent)
    except BuildError as error:
        sys.exit(str(error))
