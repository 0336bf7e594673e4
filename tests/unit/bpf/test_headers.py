"""The headers below bpf/: each compiles by itself, and who includes whom is told truly."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).resolve().parents[3]
BPF = ROOT / "bpf"
SOURCES = sorted(str(path.relative_to(BPF)) for path in BPF.rglob("*.[ch]"))
HEADERS = [each for each in SOURCES if each.endswith(".h")]
INCLUDES = {
    each: re.findall(r'^#include "(.+)"$', (BPF / each).read_text(), re.MULTILINE)
    for each in SOURCES
}
MAY_INCLUDE = {
    "abi": {"abi"},
    "common": {"abi", "common"},
    "splice": {"abi", "common", "splice"},
    "bypass": {"abi", "common", "bypass"},
}
LONGEST = 300  # lines


def folder(source):
    return source.partition("/")[0]


@pytest.mark.tools("clang")
@pytest.mark.parametrize("header", HEADERS)
def test_header_compiles_by_itself(header):
    # A function that nobody calls is no mistake of a header.
    flags = [*hatch_build.TARGET, "-Wno-unused-function", *hatch_build.include_flags(ROOT)]
    done = subprocess.run(
        ["clang", *flags, "-fsyntax-only", "-x", "c", "-"],
        input=f'#include "{header}"\n',
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("header", HEADERS)
def test_header_says_in_its_first_lines_who_includes_it(header):
    first = (BPF / header).read_text().partition("*/\n/*\n")[2].partition("*/")[0]
    words = " ".join(first.replace(" * ", " ").split())
    told = re.search(r"Included by (.*?\.(?:h|c))\.(?: |$)", words)
    assert told, f"{header} does not say who includes it"
    includers = {each for each in SOURCES if header in INCLUDES[each]}
    assert set(told[1].split(", ")) == includers


def test_folders_include_only_what_lies_below_them():
    wrong = [
        (source, other)
        for source, others in INCLUDES.items()
        for other in others
        if folder(other) not in MAY_INCLUDE[folder(source)]
    ]
    assert wrong == []


def test_readme_shows_each_source_and_what_it_includes():
    shown, section = {}, ""
    for line in (BPF / "README.md").read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").partition(":")[0]
        if row := re.fullmatch(r"\| `(.+?)` \| .+ \|(.*)\|", line):
            others = re.findall(r"`(.+?)`", row[2])
            shown[f"{section}/{row[1]}"] = [
                each if "/" in each else f"{section}/{each}" for each in others
            ]
    assert shown == INCLUDES


@pytest.mark.parametrize("source", SOURCES)
def test_source_is_not_long(source):
    assert len((BPF / source).read_text().splitlines()) <= LONGEST
