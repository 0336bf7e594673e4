"""No circle of imports, and `import sockproxy` costs next to nothing. Layers: test_layers.py."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.unit.test_layers import MODULES, PACKAGE, module_name, package_of


def targets(source, package, modules):
    """The names in `modules` that `source` imports, be it in a function or for its types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above * bool(node.level), *filter(None, [node.module])])
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                if (found := deeper if deeper in modules else base) in modules:
                    yield found


def circles(graph):
    """Sets of modules of which each imports every other, by way of others or not."""
    reached = {name: reachable(graph, name) for name in graph}
    rings = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in graph
        if name in reached[name]
    }
    return [set(ring) for ring in sorted(rings, key=sorted)]


def reachable(graph, start):
    seen, ahead = set(), [start]
    while ahead:
        for name in graph[ahead.pop()] - seen:
            seen.add(name)
            ahead.append(name)
    return seen


def test_no_module_imports_itself_by_way_of_others():
    modules = {module_name(path): path for path in MODULES}
    graph = {
        name: {*targets((PACKAGE / path).read_text(), package_of(path), modules)} - {name}
        for name, path in modules.items()
    }
    assert not circles(graph)


@pytest.mark.parametrize(
    "source",
    [
        "from p.a import thing",
        "from p import a",
        "from . import a",
        "from .a import thing",
        "import p.a",
        "def late():\n    from p.a import thing",
        "if TYPE_CHECKING:\n    from p.a import Thing",
    ],
)
def test_a_circle_is_found(source):
    modules = {"p", "p.a", "p.b", "p.c"}
    graph = {
        "p": set(),
        "p.a": {"p.c"},
        "p.b": set(targets(source, "p", modules)),
        "p.c": {"p.b"},
    }
    assert circles(graph) == [{"p.a", "p.b", "p.c"}]


def loaded_by(module):
    """The modules that a fresh interpreter has when it has imported this one."""
    code = (
        f"import sys; before = {{*sys.modules}}; import {module}; print(*{{*sys.modules}} - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_sockproxy_is_cheap():
    """All that it loads of ours is errors, and the name of the prover."""
    loaded = loaded_by("sockproxy")
    assert {name for name in loaded if name.split(".")[0] == "sockproxy"} == {
        "sockproxy",
        "sockproxy.errors",
        "sockproxy.proof",
    }
    top = {name.split(".")[0] for name in loaded}
    assert not top & {"pyroute2", "iperf3", "psutil", "click", "cffi", "_cffi_backend", "asyncio",
                      "multiprocessing"}  # fmt: skip


def test_whoever_asks_for_a_proof_has_a_prover():
    """Each module of ours has the package above it, which registers one."""
    code = "import sockproxy.proof.ask, sys; print(sockproxy.proof.prover, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    prover, *loaded = done.stdout.split()
    assert prover == "sockproxy.doctor"
    assert prover not in loaded
