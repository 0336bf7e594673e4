"""Whatever is on the command line, and wherever the output goes: one line, a documented status."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sockproxy.worker.loop import EventLoop
from tests.support.bench_document import case, document
from tests.support.proxy import ROOT, run_sockproxy
from tests.support.scale import patience

DOCUMENTED = {0, 1, 2, 3, 4}
SOCKPROXY = [sys.executable, "-m", "sockproxy"]


def one_line(done, code=None):
    """It ended as documented, and told why in a line; click's usage errors take a few."""
    assert done.returncode in ({code} if code is not None else DOCUMENTED - {0}), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1 or (lines[0].startswith("Usage: ") and done.returncode == 2), lines
    return lines[-1]


# -- where the output goes ---------------------------------------------------------------


@pytest.mark.parametrize("argv", ["--help", "bench list", "doctor --explain FIONREAD"])
@pytest.mark.parametrize(
    ("where", "why"),
    [(">/dev/full", "ENOSPC"), (">&-", "EBADF"), ("| sleep 0", "EPIPE")],
    ids=["full", "closed", "pipe"],
)
def test_output_that_cannot_be_written(tmp_path, argv, where, why):
    errors = tmp_path / "errors"
    # The pipe's reader has gone before the first byte is written.
    wait = "sleep 0.2; " if "|" in where else ""
    script = f'{{ {wait}"$0" -m sockproxy {argv} 2>{errors}; echo $? >{errors}.status; }} {where}'
    subprocess.run(["sh", "-c", script, sys.executable], cwd=ROOT, timeout=patience(60))
    lines = errors.read_text().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("sockproxy: write the output: ")
    assert why in lines[0]
    assert Path(f"{errors}.status").read_text() == "1\n"


def test_a_report_that_cannot_be_written(tmp_path):
    """Which is bytes, and goes past the stream for text."""
    file = tmp_path / "result.json"
    file.write_text(json.dumps(document([case("a", "A", {"plain": 1.0, "relay": 2.0})])))
    script = f'"$0" -m sockproxy bench report {file} --markdown - >/dev/full'
    done = subprocess.run(["sh", "-c", script, sys.executable], cwd=ROOT, timeout=patience(60),
                          capture_output=True, text=True)  # fmt: skip
    assert "write the output" in one_line(done, 1)


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize(("argv", "code"), [("status ../x --nosuch", 2), ("bench run nosuch", 2)])
def test_errors_that_cannot_be_told_change_no_status(where, argv, code):
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m sockproxy {argv} {where}', sys.executable],
        cwd=ROOT,
        timeout=patience(60),
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (code, b"")


def test_no_socket_takes_the_place_of_a_closed_stdout():
    code = "import os\nfrom sockproxy.cli.streams import prepare\nprepare()\nprint(os.pipe(), "
    code += "[os.readlink(f'/proc/self/fd/{fd}') for fd in range(3)], file=open('/dev/fd/9', 'w'))"
    script = 'exec "$0" -c "$1" 9>&1 <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, sys.executable, code], cwd=ROOT,
                          capture_output=True, text=True, timeout=patience(60))  # fmt: skip
    assert done.stdout == f"{(3, 4)} {['/dev/null'] * 3}\n"


# -- what is asked for -------------------------------------------------------------------

LONG, DEEP = "x" * 5000, "/" + "d/" * 3000
VALUES = ["", "-", "9" * 400, "9" * 5000, "1e999", "nan", LONG, DEEP, "../x", "\udcff", "\n",
          "\x1b[31m"]  # fmt: skip
# To start Python for each would take minutes: its children have it started already.
EACH = """\
import json, os, sys, tempfile
from sockproxy.cli import main
for value in json.loads(sys.argv.pop(1)):
    with tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            os.dup2(errors.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv.append(value)
            main()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        errors.seek(0)
        print(json.dumps([value, status, errors.read().decode(errors="replace")]), flush=True)
"""
PROXY = ["proxy", "--relay", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9"]
NOT_THERE = ["--cgroup", "/sys/fs/cgroup/unified/nosuch"]


@pytest.mark.parametrize(
    "argv",
    [
        ["attach", "n", *NOT_THERE, "--budget"],
        ["attach", "n", *NOT_THERE, "--allow"],
        ["attach", "n", "--cgroup"],
        [*PROXY, "--budget"],
        [*PROXY, "--connect-timeout"],
        [*PROXY, "--mark"],
        [*PROXY, "--keepalive"],
        ["proxy", "--relay", "--upstream", "127.0.0.1:9", "--listen"],
        ["proxy", "--relay", "--listen", "127.0.0.1:0", "--upstream"],
        ["run"],
        ["bench", "run"],
        ["bench", "report"],
        ["bench", "compare", "/nosuch"],
        ["doctor", "--explain"],
        ["doctor", "--explain", "FIONREAD", "--patience"],
        [],
    ],
    ids=lambda argv: " ".join(argv[:2] + argv[-1:]) or "command",
)
def test_values_that_are_none(argv):
    done = subprocess.run(
        [sys.executable, "-c", EACH, json.dumps(VALUES), *argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(120),
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [value for value, *_ in results] == VALUES, done.stderr
    for _, code, errors in results:
        one_line(subprocess.CompletedProcess(argv, code, "", errors))


@pytest.mark.parametrize("name", ["status", "connections"])
@pytest.mark.parametrize(
    "value", [LONG, DEEP, b"\xff", "a\nb"], ids=["long", "deep", "byte", "line"]
)
def test_names_that_are_none(name, value):
    done = subprocess.run([*SOCKPROXY, name, value], cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode in DOCUMENTED - {0}
    assert b"Traceback" not in done.stderr


# -- results that are none ------------------------------------------------------------------


@pytest.mark.parametrize("part", ["samples", "cases", "metrics", "systems", "summary", "scenario"])
@pytest.mark.parametrize("wrong", [5, {"x": 5}, None])
def test_a_damaged_result(tmp_path, part, wrong):
    whole = json.loads(json.dumps(document([])))
    whole[part] = wrong
    file = tmp_path / "damaged.json"
    file.write_text(json.dumps(whole))
    for argv in (["compare", str(file)], ["report", "--markdown", "-"]):
        done = subprocess.run(
            [sys.executable, "-c", EACH, json.dumps([str(file)]), "bench", *argv],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=patience(60),
        )
        _, code, errors = json.loads(done.stdout)
        if code != 0:  # not a part that is not needed for it
            one_line(subprocess.CompletedProcess(argv, code, "", errors), 2)


@pytest.mark.parametrize("content", ["[" * 200_000, "", "\0", '{"kind": "bench"'])
def test_what_is_no_result(tmp_path, content):
    file = tmp_path / "none.json"
    file.write_text(content)
    one_line(run_sockproxy("bench", "report", file), 2)
    (tmp_path / "none.toml").write_text(content + "=")
    one_line(run_sockproxy("bench", "run", tmp_path / "none.toml"), 2)


@pytest.mark.parametrize("place", ["/dev/zero", "/", ".", ""])
def test_places_that_hold_no_result(place):
    one_line(run_sockproxy("bench", "report", place), 2)


# -- long times -----------------------------------------------------------------------------


def test_a_timer_beyond_what_epoll_can_wait_for():
    loop = EventLoop()
    loop.later(10 * 365 * 86400.0, lambda: None)
    assert 0 < loop._patience() <= 86400e9  # ns
    loop.close()


def test_the_loop_waits_with_such_a_timer():
    loop = EventLoop()
    loop.later(40 * 86400.0, lambda: None)
    loop.later(0.01, loop.stop)
    before = time.monotonic()
    loop.run()
    assert time.monotonic() > before
    loop.close()
