"""The native worker's own tests, in C, under the sanitizers of addresses, behaviour and threads."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = sorted((ROOT / "tests" / "native").glob("*.c"))
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
SANITIZERS = {
    "addresses": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "threads": ("-fsanitize=thread", "-Wno-tsan"),
}
SECONDS = int(os.environ.get("SOCKPROXY_SOAK", "60"))

pytestmark = pytest.mark.tools("gcc")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Where a program is, compiled with the whole of native/ and these sanitizers."""
    folder, made = tmp_path_factory.mktemp("native"), {}

    def build(program, sanitizer):
        if (program, sanitizer) not in made:
            target = folder / f"{program.stem}-{sanitizer}"
            headers = [f"-I{ROOT / name}" for name in ("bpf", "native", "tests/native")]
            sources = sorted((ROOT / "native").glob("*.c"))
            command = ["gcc", *FLAGS, *SANITIZERS[sanitizer], *headers, *sources, program]
            subprocess.run([*command, "-o", target], check=True)
            made[program, sanitizer] = target
        return made[program, sanitizer]

    return build


@cache
def in_order():
    """Where addresses are more random than gcc 12 knows, its sanitizer of threads does not start:
    what a program is run by so that they are not, if that is allowed."""
    command = ("setarch", "--addr-no-randomize")
    return command if subprocess.run([*command, "true"]).returncode == 0 else ()


def run(program, *arguments, seconds=0):
    command = [*in_order(), program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_what_it_checks(built, program):
    run(built(program, "addresses"))


@pytest.mark.parametrize(("seed", "workers"), [(1, 1), (2, 1), (3, 2), (4, 3)])
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_random_lives_and_failures(built, sanitizer, seed, workers):
    program = built(ROOT / "tests" / "native" / "random.c", sanitizer)
    assert "ends" in run(program, seed, 6, workers, seconds=6)


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_random_lives_and_failures_for_long(built, sanitizer):
    program = built(ROOT / "tests" / "native" / "random.c", sanitizer)
    for seed in range(100, 100 + max(1, SECONDS // 60)):
        run(program, seed, min(60, SECONDS), 1 + seed % 3, seconds=60)
