"""The headers of native/: each compiles by itself, and says who includes it. Files stay small."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).resolve().parents[3]
NATIVE = ROOT / "native"
SOURCES = sorted(path.name for path in NATIVE.glob("*.[ch]"))
HEADERS = [each for each in SOURCES if each.endswith(".h")]
FOR_ALL = {
    "connection.h",
    "door.h",
    "rules.h",
    "services.h",
    "told.h",
    "worker.h",
}  # types, which most need
LONGEST = 300  # lines


@pytest.mark.tools("clang")
@pytest.mark.parametrize("header", HEADERS)
def test_header_compiles_by_itself(header):
    flags = [flag for flag in hatch_build.NATIVE_FLAGS if flag != "-shared"]
    flags += [f"-I{ROOT / 'bpf'}", f"-I{NATIVE}", "-Wall", "-Werror"]
    done = subprocess.run(
        ["clang", *flags, "-Wno-unused-function", "-fsyntax-only", "-x", "c", "-"],
        input=f'#include "{header}"\n',
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("header", sorted(set(HEADERS) - FOR_ALL))
def test_header_says_in_its_first_lines_who_includes_it(header):
    first = (NATIVE / header).read_text().partition("*/\n/*\n")[2].partition("*/")[0]
    words = " ".join(first.replace(" * ", " ").split())
    told = re.search(r"Included by (most|.*?\.(?:h|c))\.(?: |$)", words)
    assert told, f"{header} does not say who includes it"
    own = header.replace(".h", ".c")
    includers = {
        each
        for each in SOURCES
        if each != own and f'#include "{header}"' in (NATIVE / each).read_text()
    }
    if told[1] == "most":
        assert len(includers) > 14
    else:
        assert set(told[1].split(", ")) == includers


@pytest.mark.parametrize("source", SOURCES)
def test_files_stay_small(source):
    assert len((NATIVE / source).read_text().splitlines()) <= LONGEST


def test_readme_shows_each_source():
    shown = (NATIVE / "README.md").read_text()
    for each in SOURCES:
        assert f"`{each}`" in shown or f"`{each.partition('.')[0]}`" in shown, each
