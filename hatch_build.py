"""Makes what the wheel holds besides sources: BPF objects and the libbpf binding.

Hatchling runs this as a build hook; ``python hatch_build.py`` does the same in place,
for a checkout whose BPF sources have changed. Needs clang and llvm-strip.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("bpf")
OBJECTS = Path("sockproxy/_bpf")
BUILDER = Path("sockproxy/bpf/_build.py")
BINDING = Path("sockproxy/bpf/_binding.py")


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
    """-I flags for bpf/ and for the <asm/...> headers, which Debian keeps per architecture."""
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
    flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", *include_flags(root)]
    run(clang, *flags, "-c", source, "-o", target)
    run(strip, "-g", target)


def write_binding(root: Path, target: Path) -> None:
    """Write cffi's out-of-line ABI module. The builder is run as a file, because the
    package cannot be imported before it has its binding."""
    builder = runpy.run_path(str(root / BUILDER))["ffibuilder"]
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it writes
        builder.emit_python_code(str(target))


def build(root: Path) -> list[Path]:
    """Make all artifacts below `root`; returns their paths relative to it.

    Each appears whole or not at all: it is made aside and moved into place, so that
    a process which has the old one open is not disturbed.
    """
    sources = sorted((root / SOURCES).glob("*.bpf.c"))
    if not sources:
        raise BuildError(f"no *.bpf.c in {root / SOURCES}")
    (root / OBJECTS).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root / OBJECTS, prefix=".build-") as aside:
        made: list[tuple[Path, Path]] = []
        for source in sources:
            name = source.name.removesuffix(".c") + ".o"
            compile_object(root, source, Path(aside, name))
            made.append((Path(aside, name), OBJECTS / name))
        shutil.copyfile(root / SOURCES / "shared.h", Path(aside, "shared.h"))
        made.append((Path(aside, "shared.h"), OBJECTS / "shared.h"))
        write_binding(root, Path(aside, BINDING.name))
        made.append((Path(aside, BINDING.name), BINDING))
        for new, place in made:
            os.replace(new, root / place)
    return [place for _, place in made]


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
        # Linux only, and BPF objects have the byte order of the machine they are for.
        platform_tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform_tag}"
        build_data["pure_python"] = False


if __name__ == "__main__":
    try:
        build(Path(__file__).resolve().parent)
    except BuildError as error:
        sys.exit(str(error))
