"""Imports inside the package point one way only, and those from outside are declared."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sockproxy"

# From the top down: a module imports from lower lines and from its own package.
# "" is sockproxy/__init__.py.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"bench"},
    {""},
    {"agent"},
    {"audit", "metrics", "tap", "top"},
    {"doctor", "proxy"},
    {"splicer", "bypass"},
    {"worker", "proof"},
    {"bpf"},
    {"cgroup", "net", "rundir"},
    {"tables"},
    {"native", "syscalls", "text", "units"},
    {"errors"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def module_name(path):
    """sockproxy/net/tcp.py, told relative to the package -> "sockproxy.net.tcp"."""
    parts = ["sockproxy", *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path):
    """The package that relative imports in the module at `path` start from."""
    name = module_name(path)
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def imported(source, package):
    """The absolute names that `source`, a module in `package`, imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                kept = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            # A name imported from the top may be a subpackage of its own layer.
            if base == "sockproxy":
                for alias in node.names:
                    yield f"sockproxy.{alias.name}" if alias.name in RANK else base
            else:
                yield base


def layer_of(name):
    """The name in LAYERS that the module `name` of ours belongs to."""
    _, *below = name.split(".")
    return below[0] if below else ""


def violations(source, name, package):
    """What the module `name` imports against the layers' order."""
    own = layer_of(name)
    for target in imported(source, package):
        if target.split(".")[0] != "sockproxy":
            continue
        other = layer_of(target)
        if other != own and RANK[other] <= RANK[own]:
            yield f"{name} imports {target}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path):
    name = module_name(path)
    assert layer_of(name) in RANK, f"give {name} a layer in {Path(__file__).name}"
    assert not list(violations((PACKAGE / path).read_text(), name, package_of(path)))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sockproxy.worker.x", "from sockproxy.splicer import Splicer"),
        ("sockproxy.bpf.x", "from ..worker.engine import Engine"),
        ("sockproxy.net.x", "import sockproxy.bpf.map"),
        ("sockproxy.net.x", "from sockproxy import cgroup"),
        ("sockproxy.splicer.x", "import sockproxy"),
        ("sockproxy.errors", "def late():\n    from sockproxy.units import parse_size"),
        ("sockproxy.units", "if TYPE_CHECKING:\n    from sockproxy.cli import main"),
    ],
)
def test_an_import_upwards_or_sideways_is_found(name, source):
    assert len(list(violations(source, name, name.rpartition(".")[0]))) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sockproxy.cli.x", "from sockproxy.errors import UsageError"),
        ("sockproxy.cli.x", "from sockproxy import Splicer"),
        ("sockproxy.worker.x", "from .engine import Engine"),
        ("sockproxy.net.x", "import socket\nfrom sockproxy.net.tcp import kick"),
    ],
)
def test_an_import_downwards_is_not(name, source):
    assert not list(violations(source, name, name.rpartition(".")[0]))


def test_imports_from_outside_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    parts = (extras[name] for name in ("bench", "kubernetes", "metrics", "report", "tap", "top"))
    lines = itertools.chain(project["dependencies"], *parts)
    declared = {re.match(r"[\w.-]+", line)[0] for line in lines}
    # cffi brings _cffi_backend, which the generated binding imports; pyelftools is elftools, and
    # python-jsonpath is jsonpath.
    known_otherwise = {"sockproxy", "_cffi_backend", "elftools", "jsonpath"}
    allowed = declared | known_otherwise | sys.stdlib_module_names
    found = {
        name.split(".")[0]
        for path in MODULES
        for name in imported((PACKAGE / path).read_text(), package_of(path))
    }
    assert found <= allowed


def test_no_command_pays_for_the_benchmarks():
    """Their libraries take longer to import than all that the other commands need."""
    code = "import sockproxy.cli.main, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert not {"pyroute2", "sockproxy.bench"} & set(loaded)


def test_a_proxy_imports_what_it_needs_to_listen():
    """What it does not need for that takes as long to import as all of it may."""
    code = "import sockproxy.cli.main, sockproxy.cli.proxy, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "sockproxy.proxy.proxy" in loaded
    assert not {"asyncio", "multiprocessing", "psutil", "sockproxy.doctor"} & loaded


def _loaded_by(*modules):
    """The modules that are loaded once these are imported in a fresh interpreter."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def _of(package, loaded):
    return {name for name in loaded if name == package or name.startswith(f"{package}.")}


def test_the_library_loads_neither_pyroute2_nor_iperf3():
    """They are for the benchmarks, and take longer to import than the library itself."""
    loaded = _loaded_by("sockproxy", "sockproxy.splicer.splicer", "sockproxy.splicer.streams")
    for package in ("pyroute2", "iperf3", "psutil", "click", "sockproxy.bench"):
        assert not _of(package, loaded), package


def test_a_proxy_loads_nothing_of_the_bench():
    loaded = _loaded_by("sockproxy.cli.main", "sockproxy.cli.proxy", "sockproxy.proxy.control")
    for package in ("pyroute2", "iperf3", "jinja2", "matplotlib", "sockproxy.bench"):
        assert not _of(package, loaded), package


def test_what_only_a_report_needs_is_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {re.match(r"[\w.-]+", line)[0] for line in project["optional-dependencies"]["report"]}
    plain = {re.match(r"[\w.-]+", line)[0] for line in project["dependencies"]}
    assert extra == {"jinja2", "matplotlib"}
    assert {"pyroute2", "cffi", "click", "psutil", "iperf3"} <= plain
    needing = {
        path
        for path in MODULES
        if extra & {name.split(".")[0] for name in imported((PACKAGE / path).read_text(), "")}
    }
    assert {path.parts[:2] for path in needing} == {("bench", "report")}
