"""No module starts what is above it as a process: that is an arrow which no import shows.

What a benchmark measures is data (bench/peers), and not looked at here.
"""

from __future__ import annotations

import ast
import re
from itertools import pairwise

import pytest

from tests.unit.test_layers import LAYERS, MODULES, PACKAGE, RANK, layer_of, module_name

COMMAND_LINE = RANK["cli"]
MODULE = re.compile(r"sockproxy\.([a-z_0-9]+)(\.[a-z_0-9]+)*")
# Words of a command that are shown to people, and not executed.
SHOWN = {"sockproxy.bench.report.view"}
STARTERS = re.compile(
    r"(.*\.)?(Popen|run|call|check_call|check_output|system|popen|which|"
    r"find_program|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|run_module|"
    r"import_module)"
)


def strings(tree):
    """The constant strings of a module that are no docstrings, and the constant parts of f""."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def starts(tree):
    """The words of each list that may be a command, and the arguments of what starts one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple):
            yield [each.value for each in node.elts if isinstance(each, ast.Constant)]
        elif isinstance(node, ast.Call) and STARTERS.fullmatch(ast.unparse(node.func)):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            words = [each.value for each in given if isinstance(each, ast.Constant)]
            yield [part for each in words if isinstance(each, str) for part in each.split()[:1]]


def upward(source, name, shown=SHOWN):
    """What the module `name` starts, or names as a module to start, of a layer above its own."""
    tree, own = ast.parse(source), RANK[layer_of(name)]
    for text in strings(tree):
        if (found := MODULE.fullmatch(text)) and found[1] in RANK and RANK[found[1]] < own:
            yield f"{name} names {text}"
        if own > COMMAND_LINE and re.search(r"python[\d.]* .*-m sockproxy\b", text):
            yield f"{name} starts the command line: {text}"
    for words in starts(tree):
        program = str(words[0]) if words else ""
        behind = [str(after) for word, after in pairwise(words) if word == "-m"]
        commands = {program.rpartition("/")[2], *behind}
        if own > COMMAND_LINE and "sockproxy" in commands and name not in shown:
            yield f"{name} starts the command line: {words}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_above_is_started(path):
    assert not list(upward((PACKAGE / path).read_text(), module_name(path)))


def test_no_exception_is_left_that_is_not_needed():
    for path in MODULES:
        if (name := module_name(path)) in SHOWN:
            assert list(upward((PACKAGE / path).read_text(), name, shown=())), name
    assert {*map(module_name, MODULES)} >= SHOWN


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sockproxy.proof.x", 'run([sys.executable, "-P", "-m", "sockproxy.doctor", pid])'),
        ("sockproxy.proof.x", 'PROVER = "sockproxy.doctor"'),
        ("sockproxy.splicer.x", 'argv = [sys.executable, "-m", "sockproxy", "doctor", "--json"]'),
        ("sockproxy.bench.x", 'subprocess.run(["sockproxy", "status"])'),
        ("sockproxy.bench.x", 'subprocess.run(("/usr/bin/sockproxy", "status"))'),
        ("sockproxy.bench.x", 'os.system("sockproxy status")'),
        ("sockproxy.doctor.x", 'COMMAND = "python3 -m sockproxy doctor"'),
        ("sockproxy.bpf.x", 'os.execvp("sockproxy", argv)'),
        ("sockproxy.worker.x", 'importlib.import_module("sockproxy.proxy.proxy")'),
        ("sockproxy.proxy.x", 'shutil.which("sockproxy")'),
    ],
)
def test_a_call_upwards_is_found(name, source):
    assert list(upward(source, name))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sockproxy.cli.x", 'argv = [sys.executable, "-m", "sockproxy", "doctor"]'),
        ("sockproxy", 'proof.prover = "sockproxy.doctor"'),
        ("sockproxy.bench.x", 'WORKER = "sockproxy.bench.load.iperf3_worker"'),
        ("sockproxy.bench.x", 'argv = ["netperf", "-m", str(size)]'),
        ("sockproxy.doctor.x", '"""python -m sockproxy doctor"""'),
        ("sockproxy.bypass.x", "hint = f\"'sockproxy detach {name}' first\""),
        ("sockproxy.rundir", 'Path(user) / "sockproxy"'),
        ("sockproxy.bpf.x", 'hint = "nsenter -t 1 -m sockproxy status"'),
    ],
)
def test_a_call_downwards_or_a_word_is_not(name, source):
    assert not list(upward(source, name))


def test_what_the_package_imports_late_is_below_it():
    """By its table of names, which no import statement shows."""
    table = ast.parse((PACKAGE / "__init__.py").read_text())
    names = next(
        ast.literal_eval(node.value)
        for node in table.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_LATER"
    )
    below = set().union(*LAYERS[RANK[""] + 1 :])
    assert {module.split(".")[0] for module in names.values()} <= below
