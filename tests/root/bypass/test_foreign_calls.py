"""Programs whose system calls have other numbers: which one reads cannot be told, so TCP does."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from pathlib import Path

import pytest

from tests.support.bypass import connections, status
from tests.support.sockets import receive, seen_waiting, tcp_pair

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass"),
    pytest.mark.tools("clang"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="int $0x80 is of x86"),
]

SOURCE = Path(__file__).parents[2] / "support" / "foreign.c"
LINKED = ("-O1", "-Wall", "-Werror", "-ffreestanding", "-nostdlib", "-static", "-fno-pie")


@contextlib.contextmanager
def echo(folder, bits):
    """The client's end of a connection to a program that reads so."""
    program = folder / f"foreign{bits}"
    subprocess.run(["clang", f"-m{bits}", *LINKED, "-o", program, SOURCE], check=True)
    one, other = tcp_pair()
    with one, subprocess.Popen([program], stdin=other) as process:
        other.close()
        try:
            yield seen_waiting(one)
        finally:
            process.kill()


@pytest.mark.parametrize("bits", [32, 64])
def test_int_0x80(bypassed, tmp_path, bits):
    """The number of read(2) there is that of close(2) here."""
    with echo(tmp_path, bits) as one:
        for number in range(16):
            one.sendall(bytes([number]) * 50)
            assert receive(one, 50) == bytes([number]) * 50
        whys = {each["why"] for each in connections().values()}
    assert whys == {
        f"{end} end waits in a way that is not known to be level-triggered"
        for end in ("this", "the other")
    }
    assert status()["bypassed_messages"] == 0
