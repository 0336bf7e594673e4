"""The bench command, small scenarios, and proxies made of a line of shell."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager

from tests.support.proxy import ROOT
from tests.support.schema import check_document

QUICK_TOOLS = ("iperf3", "netperf", "netserver", "redis-server", "redis-benchmark", "haproxy")
PLAIN_LINE = "title = 'x'\n[[case]]\ntool = 'pingpong'\ntest = 'rr'\nsystems = ['plain']\n"
COMMAND = [sys.executable, "-m", "sockproxy", "bench"]


# Where results go that no test asks for.
STATE = tempfile.TemporaryDirectory(prefix="sockproxy-state-")


def _environment(path=None, only_path=False):
    before = [str(path)] if path else []
    after = [] if only_path else [os.environ["PATH"]]
    return {**os.environ, "XDG_STATE_HOME": STATE.name, "PATH": os.pathsep.join([*before, *after])}


def bench(*arguments, path=None, only_path=False, timeout=120):
    """`sockproxy bench ...` to its end. path: a folder that comes before PATH, or is all of it."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env=_environment(path, only_path),
    )
    if "--json" in arguments and done.stdout:
        check_document(done.stdout)
    return done


@contextmanager
def start_bench(*arguments):
    """The same, while it runs."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=_environment(),
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def mini(folder, *, rounds=1, against="plain", **case):
    """A scenario of one case, of pingpong rr where nothing else is said; its file."""
    case = {"tool": "pingpong", "test": "rr", **case}
    lines = [f'title = "mini"\nrounds = {rounds}\nagainst = ["{against}"]\n[[case]]']
    lines += [f"{key} = {value!r}" for key, value in case.items()]
    path = folder / "mini.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def peer(folder, name, script):
    """A proxy that is a line of shell, in the folder `peers`."""
    (folder / "peers").mkdir(exist_ok=True)
    (folder / "peers" / f"{name}.toml").write_text(
        f'title = "{name}"\nabout = "a test"\nprogram = "sh"\ninstall = "nothing"\n'
        f"version = ['true']\nargv = ['sh', '-c', '''{script}''']\n"
    )


def samples(document, case, system):
    """Those of one cell, by round."""
    return [
        sample
        for sample in document["samples"]
        if (sample["case"], sample["system"]) == (case, system)
    ]
