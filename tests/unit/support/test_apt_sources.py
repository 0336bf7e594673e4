"""What is read of the machine's apt sources, in both formats, and made of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.apt_sources import Source, from_list, from_sources, read_sources

DEB822 = """\
# mirror of the house
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

types: deb
uris: http://mirror.example/security
suites: bookworm-security
components: main

Types: deb
URIs: http://other.example/
Suites: bookworm
Components: tools

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main

Types: deb
Enabled: No
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
KEY = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc"


def test_deb822():
    assert list(from_sources(DEB822)) == [
        Source(
            "http://mirror.example/debian", ("bookworm", "bookworm-updates"), {"signed-by": KEY}
        ),
        Source("http://mirror.example/security", ("bookworm-security",)),
    ]


def test_one_line():
    text = (
        "# deb http://off.example/debian bookworm main\n"
        "deb-src http://off.example/debian bookworm main\n"
        "deb http://other.example/ bookworm tools\n"
        "deb http://mirror.example/security bookworm-security main\n"
        "deb [Signed-By=/k.gpg arch=amd64,i386] http://mirror.example/debian bookworm main # ours\n"
    )
    assert list(from_list(text)) == [
        Source("http://mirror.example/security", ("bookworm-security",)),
        Source(
            "http://mirror.example/debian",
            ("bookworm",),
            {"signed-by": "/k.gpg", "architectures": "amd64 i386"},
        ),
    ]


def test_a_stanza_keeps_mirror_and_options():
    source = next(from_sources(DEB822))
    text = source.stanza("bookworm", "non-free")
    assert text == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: non-free\n"
        "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )
    assert list(from_sources(text.replace("non-free", "main"))) == [
        Source(source.uri, ("bookworm",), source.options)
    ]


@pytest.mark.parametrize("text", ["", "\n\n", " goes on\n", "nonsense\n", "Types: deb\n"])
def test_nonsense_is_no_source(text):
    assert list(from_sources(text)) == []
    assert list(from_list(text)) == []


def test_all_files_are_read(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://one.example/ bookworm main\n")
    (tmp_path / "sources.list.d" / "two.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "three.save").write_text(DEB822)
    assert len(read_sources(tmp_path)) == 3
    assert read_sources(tmp_path / "nowhere") == []


def test_another_suite_is_not_taken_for_non_free():
    tool = Path(__file__).resolve().parents[3] / "tools" / "enable-non-free"
    done = subprocess.run([sys.executable, tool, "elsewhere"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "enable-non-free: no apt source gives elsewhere main, so none to copy\n"
