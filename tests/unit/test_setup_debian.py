"""tools/enable-non-free copies the machine's own source, in both of apt's formats."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "enable-non-free"


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(TOOL))


DEB822 = """\
# mirror of the house
Types: deb deb-src
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/a.gpg

Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""


def test_deb822_keeps_mirror_suite_and_key(tool):
    assert tool["from_sources"](DEB822, "bookworm") == (
        "Types: deb\n"
        "URIs: http://mirror.example/debian\n"
        "Suites: bookworm\n"
        "Components: non-free\n"
        "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )


def test_one_line_keeps_mirror_suite_and_options(tool):
    text = (
        "# deb http://off.example/debian bookworm main\n"
        "deb http://mirror.example/security bookworm-security main\n"
        "deb [signed-by=/k.gpg arch=amd64] http://mirror.example/debian bookworm main  # ours\n"
    )
    assert tool["from_list"](text, "bookworm") == (
        "deb [signed-by=/k.gpg arch=amd64] http://mirror.example/debian bookworm non-free\n"
    )


@pytest.mark.parametrize("codename", ["trixie", "sid"])
def test_another_suite_is_not_taken(tool, codename):
    assert tool["from_sources"](DEB822, codename) is None
    assert tool["from_list"]("deb http://mirror.example/debian bookworm main", codename) is None


def test_a_disabled_stanza_is_not_taken(tool):
    assert tool["from_sources"](DEB822 + "Enabled: no\n", "bookworm") is None
