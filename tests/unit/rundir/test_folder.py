"""Directories of ours alone: what is none is refused, by whatever name it comes."""

from __future__ import annotations

import os

import pytest

from sockproxy.errors import PermissionDenied
from sockproxy.rundir.folder import make_folder, open_folder


@pytest.fixture
def parent(tmp_path):
    tmp_path.chmod(0o700)
    with open_folder(tmp_path) as folder:
        yield folder


def test_made_once_and_found_again(parent, tmp_path):
    os.umask(before := os.umask(0))
    with make_folder("x", parent) as made, make_folder("x", parent) as again:
        assert os.path.samestat(os.fstat(made.fd), os.fstat(again.fd))
        assert made.path == tmp_path / "x"
        assert (tmp_path / "x").stat().st_mode & 0o777 == 0o700 & ~before
        (made.at("y")).write_text("in it")
        assert made.names() == ["y"]
        assert (tmp_path / "x" / "y").read_text() == "in it"


def test_it_is_reached_though_another_has_its_name(parent, tmp_path):
    with make_folder("x", parent) as made:
        assert made.is_at("x", parent)
        (tmp_path / "x").rename(tmp_path / "aside")
        assert not made.is_at("x", parent)
        (tmp_path / "x").symlink_to("/")
        assert not made.is_at("x", parent)
        made.at("y").write_text("here")
        assert (tmp_path / "aside" / "y").read_text() == "here"


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o720, 0o755, 0o777, 0o1777])
def test_of_others_as_well(parent, tmp_path, mode):
    (tmp_path / "x").mkdir()
    (tmp_path / "x").chmod(mode)
    with pytest.raises(PermissionDenied, match=f"mode {mode:04o}.*chmod"):
        open_folder("x", parent)


def test_links_and_files(parent, tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch(mode=0o600)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "dangling"):
        with pytest.raises(PermissionDenied, match="symbolic link"):
            make_folder(name, parent)
        with pytest.raises(PermissionDenied, match="symbolic link"):
            open_folder(tmp_path / name)
    for name in ("file", "pipe"):
        with pytest.raises(PermissionDenied, match="no directory"):
            make_folder(name, parent)
    with pytest.raises(FileNotFoundError):
        open_folder("absent", parent)


@pytest.mark.root
def test_of_another_owner(parent, tmp_path):
    (tmp_path / "x").mkdir(mode=0o700)
    os.chown(tmp_path / "x", 65534, 65534)
    with pytest.raises(PermissionDenied, match="user 65534"):
        open_folder("x", parent)


def test_no_descriptor_is_left(parent, tmp_path):
    (tmp_path / "x").mkdir(mode=0o755)
    before = os.listdir("/proc/self/fd")
    for name in ("x", "absent"):
        with pytest.raises((PermissionDenied, FileNotFoundError)):
            open_folder(name, parent)
    assert os.listdir("/proc/self/fd") == before
