"""What vagrant/matrix packs for its guests is all that their tests import."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata

from vagrant.matrix.archive import NEEDS, distributions
from vagrant.matrix.kernels import CHECKOUT

ROWS = CHECKOUT / "tests" / "conformance" / "rows.toml"
OURS = ("tests", "tools", "vagrant", "sockproxy")


def imports(file):
    """The names of modules that it imports, wherever; some are of what is in them."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def of_tests(name):
    """The file of a module of ours that is not installed; None for any other."""
    path = CHECKOUT.joinpath(*name.split("."))
    if name.partition(".")[0] not in OURS[:-1]:
        return None
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((each for each in files if each.is_file()), None)


def test_guests_have_what_their_tests_import():
    todo = {CHECKOUT / each for each in re.findall(r"tests/[\w/]+\.py", ROWS.read_text())}
    todo |= {
        each for file in todo for folder in file.parents for each in folder.glob("conftest.py")
    }
    assert len(todo) > 40
    seen, foreign = set(), set()
    while todo:
        file = todo.pop()
        seen.add(file)
        for name in imports(file):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in OURS:
                foreign.add(top)
            elif (found := of_tests(name)) and found not in seen:
                todo.add(found)
    packed = distributions(NEEDS)
    providers = metadata.packages_distributions()
    assert "pytest" in foreign
    for top in foreign:
        assert any(each.lower() in packed for each in providers[top]), f"{top} is not packed"
