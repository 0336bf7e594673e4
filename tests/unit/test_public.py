"""What ``import sockproxy`` promises: __all__ is right, complete and documented."""

from __future__ import annotations

import importlib.metadata
import inspect
from types import ModuleType

import pytest

import sockproxy
from sockproxy import errors

# A change here is a change of the public interface: CHANGELOG.md must tell it.
PUBLIC = [
    "CgroupError",
    "DirectionStats",
    "KernelError",
    "PairStats",
    "PermissionDenied",
    "SockproxyError",
    "Splice",
    "Splicer",
    "Undecided",
    "Unsupported",
    "UsageError",
    "detach_stream",
    "detach_transport",
]


def test_all_is_what_was_promised():
    assert sockproxy.__all__ == PUBLIC


def test_all_names_everything_public():
    public = {
        name
        for name in dir(sockproxy)
        if not name.startswith("_")
        and name != "annotations"
        and not isinstance(getattr(sockproxy, name), ModuleType)
    }
    assert public == set(sockproxy.__all__)


def test_all_is_sorted():
    assert sockproxy.__all__ == sorted(sockproxy.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    assert inspect.getdoc(getattr(sockproxy, name))


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "SockproxyError"])
def test_public_methods_are_documented(name):
    methods = vars(getattr(sockproxy, name)).items()
    bare = [
        method
        for method, value in methods
        if not method.startswith("_") and callable(value) and not inspect.getdoc(value)
    ]
    assert not bare


def test_every_error_is_public():
    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.SockproxyError)
    }
    assert tree <= set(sockproxy.__all__)


def test_exit_codes_are_the_documented_ones():
    codes = {name: getattr(getattr(sockproxy, name), "exit_code", None) for name in PUBLIC}
    assert {name: code for name, code in codes.items() if code} == {
        "SockproxyError": 1,
        "UsageError": 2,
        "PermissionDenied": 3,
        "Unsupported": 4,
        "Undecided": 1,
        "KernelError": 1,
        "CgroupError": 1,
    }


def test_version_is_the_packages():
    assert sockproxy.__version__ == importlib.metadata.version("sockproxy")
