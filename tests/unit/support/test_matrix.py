"""vagrant/matrix: its table, where packages come from, and the files made from them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.needs import find_program
from tools.apt_sources import Source
from vagrant.matrix import archive, packages, sources
from vagrant.matrix.document import DOCUMENT, page, recorded
from vagrant.matrix.errors import MatrixError
from vagrant.matrix.kernels import CHECKOUT, chosen, read_table
from vagrant.matrix.vagrantfile import VAGRANTFILE, vagrantfile

AGAIN = "make it again: python -m vagrant.matrix"


def run_cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "vagrant.matrix", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )


def test_the_table_has_what_ci_runs_and_the_machines_own():
    kernels = read_table()
    assert len([each for each in chosen(kernels, [], ci=True) if not each.is_host]) >= 2
    assert [each.name for each in kernels if each.is_host] == ["host", "hardened"]
    assert chosen(kernels, []) == kernels


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[kernel]]\nname = 'a'", "lacks, or nobody knows"),
        ("kernel", "Expected"),
        ("", "KeyError"),
    ],
)
def test_a_mistake_in_the_table_is_told(tmp_path, text, told):
    path = tmp_path / "kernels.toml"
    path.write_text(text)
    with pytest.raises(MatrixError, match=told):
        read_table(path)


def test_an_unknown_kernel_is_one_clear_line():
    done = run_cli("run", "2.6")
    assert done.returncode == 1
    known = "5.10, 6.1, 6.12, newest, host, hardened"
    assert done.stderr == f"Error: no kernel 2.6: there are {known}\n"


def test_a_part_of_the_tests_is_not_recorded():
    assert run_cli("run", "6.12", "--record", "--doctor-only").returncode == 2


def test_help_has_examples():
    assert "python -m vagrant.matrix run 6.12" in run_cli("--help").stdout


# -- where packages come from ---------------------------------------------------------------


@pytest.fixture
def mine(monkeypatch):
    release = {"ID": "debian", "VERSION_CODENAME": "mine"}
    monkeypatch.setattr(sources.platform, "freedesktop_os_release", lambda: release)


@pytest.mark.usefixtures("mine")
def test_other_suites_come_from_where_the_machines_own_does():
    main = Source("http://mirror.example/debian", ("mine", "mine-updates"), {"signed-by": "/key"})
    security = Source("http://mirror.example/security", ("mine-security",))
    found = [security, main]
    assert sources.find_source(found, "sid").stanza("sid") == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: sid\nComponents: main\n"
        "Signed-By: /key\n"
    )
    theirs = sources.find_source(found, "trixie-security")
    assert (theirs.uri, theirs.options) == (security.uri, {"signed-by": sources.KEYRING})


@pytest.mark.usefixtures("mine")
def test_no_source_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "read_sources", list)
    kernel = chosen(read_table(), ["6.12"])[0]
    with pytest.raises(MatrixError, match="no apt source gives this machine Debian's main"):
        packages.fetch(kernel, tmp_path, False, str)


def test_our_apt_lives_in_its_folder(tmp_path):
    conf = sources.write_apt(tmp_path, ["Types: deb\n"])
    if find_program("apt-config") is None:
        pytest.skip("no apt-config")
    done = subprocess.run(["apt-config", "-c", conf, "shell", "A", "Dir::State/d",
                           "B", "Dir::Cache/d", "C", "Dir::Etc::sourcelist/f"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.count(str(tmp_path)) == 3


TRIXIE = {
    "linux-image-amd64": """\
Package: linux-image-amd64
Source: linux-signed-amd64 (6.12.118+1)
Version: 6.12.118-1
Depends: linux-image-6.12.118+deb13-amd64 (= 6.12.118-1)
""",
    "linux-image-6.12.118+deb13-amd64": """\
Package: linux-image-6.12.118+deb13-amd64
Version: 6.12.118-1
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool
Breaks: fwupdate (<< 12-7), linux-image-6.1.0-1-amd64
""",
}
SID = {
    "linux-image-amd64": """\
Package: linux-image-amd64
Version: 7.2.13-1
Depends: linux-image-7.2.13+deb14-amd64 (= 7.2.13-1)
""",
    "linux-image-7.2.13+deb14-amd64": """\
Package: linux-image-7.2.13+deb14-amd64
Version: 7.2.13-1
Depends: linux-binary-7.2.13+deb14-amd64 (= 7.2.13-1), linux-modules-7.2.13+deb14-amd64, kmod
""",
    "linux-binary-7.2.13+deb14-amd64": "Package: linux-binary\nVersion: 7.2.13-1\n",
    "linux-modules-7.2.13+deb14-amd64": "Package: linux-modules\nVersion: 7.2.13-1\n",
}


@pytest.mark.parametrize("canned", [TRIXIE, SID], ids=["one package", "split"])
def test_the_parts_of_a_kernel(canned):
    found = packages.resolve(canned.__getitem__)
    assert list(found.keys() ^ canned.keys()) == []
    assert len(set(found.values())) == 1


def test_a_missing_package_is_told():
    with pytest.raises(MatrixError, match="no package linux-image-amd64"):
        packages.resolve(lambda _name: "")


def test_a_kernel_that_is_there_is_not_fetched_again(tmp_path):
    image = tmp_path / "vmlinuz"
    image.touch()
    (tmp_path / "kernel.json").write_text(
        f'{{"release": "6.12", "version": "6.12.118-1", "image": "{image}"}}'
    )
    kernel = chosen(read_table(), ["6.12"])[0]
    assert packages.fetch(kernel, tmp_path, False, str).version == "6.12.118-1"


def test_a_newer_layout_becomes_what_a_boot_needs(tmp_path, monkeypatch):
    inside = tmp_path / "usr" / "lib" / "modules" / "7.2" / "kernel" / "fs" / "9p"
    inside.mkdir(parents=True)
    (inside.parents[2] / "vmlinuz").touch()
    monkeypatch.setattr(packages, "_run", lambda command: "")
    monkeypatch.setattr(packages.shutil, "rmtree", lambda *_args, **_named: None)
    found = packages.unpack([], tmp_path, "7.2.13-1")
    assert found == packages.Unpacked("7.2", "7.2.13-1", str(tmp_path / "boot" / "vmlinuz-7.2"))
    assert (tmp_path / "lib" / "modules" / "7.2").is_dir()


# -- what guests keep in memory --------------------------------------------------------------


def test_what_is_mounted_is_not_inside_of_another():
    found = archive.mounts()
    assert not [one for one in found for other in found if other in one.parents]
    assert CHECKOUT in found


def test_what_the_tests_need_is_packed_with_its_requirements():
    found = archive.distributions(["pytest"])
    assert {"pytest", "pluggy", "iniconfig"} <= found.keys()
    assert "mypy" not in found


# -- files made from the table and the results -------------------------------------------------


def test_the_page_of_kernels_is_what_the_results_make():
    assert DOCUMENT.read_text() == page(recorded(), read_table()), f"{AGAIN} document"


def test_the_vagrantfile_is_what_the_table_makes():
    assert VAGRANTFILE.read_text() == vagrantfile(read_table()), f"{AGAIN} vagrantfile"


@pytest.mark.tools("vagrant")
def test_vagrant_takes_the_vagrantfile(tmp_path):
    # No provider is here, and none is needed to look at the rest.
    places = {
        "VAGRANT_HOME": str(tmp_path / "home"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
    }
    done = subprocess.run(
        [find_program("vagrant"), "validate", "--ignore-provider"],
        cwd=VAGRANTFILE.parent,
        env=os.environ | places,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
