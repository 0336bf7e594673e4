"""A library that does not load says why, in one line."""

from __future__ import annotations

import pytest

from sockproxy import native
from sockproxy.doctor.examine import examine
from sockproxy.errors import Unsupported


@pytest.fixture
def library(tmp_path, monkeypatch):
    """In the place of ours; it is looked for anew."""
    path = tmp_path / "_native.so"
    monkeypatch.setattr(native, "LIBRARY", path)
    native.load_native.cache_clear()
    yield path
    native.load_native.cache_clear()


def test_one_of_another_machine(library):
    library.write_bytes(b"\x7fELF" + bytes(100))
    with pytest.raises(Unsupported, match="load the native worker") as told:
        native.load_native()
    assert "build sockproxy on this machine" in str(told.value)


def test_none(library):
    with pytest.raises(Unsupported, match="cannot open shared object file"):
        native.load_native()


def test_doctor_says_so_and_proves_nothing(library):
    """What it would find broken is not the kernel, and would be kept until the next boot."""
    with pytest.raises(Unsupported, match="load the native worker"):
        next(examine())


def test_a_call_that_fails_is_an_error_of_the_system():
    with pytest.raises(FileNotFoundError):
        native.check(-2)
    assert native.check(3) == 3
