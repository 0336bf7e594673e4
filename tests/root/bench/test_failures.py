"""`sockproxy bench run` when something goes wrong: what it tells, keeps and leaves behind."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from sockproxy.rundir import pins
from tests.support.bench import bench, mini, peer, samples, start_bench
from tests.support.bypass import NAME

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.tools("nft", "cc")]


def failed(done, *words, others=("plain",)):
    """It said so in one line, exited with 1, and measured the others."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bench: failed: ")
    assert all(word in last for word in words), last
    document = json.loads(done.stdout)
    (case,) = document["cases"]
    assert len(document["failures"]) == 1, document["failures"]
    for system in others:
        assert len(samples(document, case["key"], system)) == 1


SOCAT = "exec socat TCP-LISTEN:$port,bind=$address,reuseaddr"


UPSTREAM = "TCP:$upstream_address:$upstream_port"


@pytest.mark.tools("socat")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no licence >&2; exit 3", "exit 3: no licence"),
        (f"{SOCAT} EXEC:false", ""),  # dies with its first connection
        (f"{SOCAT},fork 'SYSTEM:sleep 1000'", "no end after"),
        (f"{SOCAT},fork 'SYSTEM:head -c 1000 | socat - {UPSTREAM}'".replace(":$up", "\\:$up"), ""),
        (f"{SOCAT.replace('$address', '127.0.0.2')},fork {UPSTREAM}", ""),
    ],
    ids=["cannot-start", "crashes", "never-answers", "loses-bytes", "listens-elsewhere"],
)
def test_a_peer_that_misbehaves(tmp_path, script, words):
    peer(tmp_path, "bad", script)
    scenario = mini(tmp_path, systems=["bad", "plain"])
    peers = ("--peers", tmp_path / "peers")
    failed(bench("run", scenario, *peers, "--timeout", "3s", "--json"), "bad", words)


@pytest.mark.tools("redis-server", "redis-benchmark")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("sleep 1000", "no end after"),
        ('echo \'"test","rps"\'; echo \'"GET",\'', "gave no figures"),
        ("kill -SEGV $$", "SIGSEGV"),
        ("head -c 100000000 /dev/zero; exit 1", "exit 1"),
    ],
    ids=["hangs", "cut-off", "crashes", "talks-too-much"],
)
def test_a_tool_that_misbehaves(tmp_path, script, words):
    tool = tmp_path / "redis-benchmark"
    # The server's own first SET must succeed.
    tool.write_text(f'#!/bin/sh\ncase "$*" in *"-t set"*) exit 0;; esac\n{script}\n')
    tool.chmod(0o755)
    scenario = mini(tmp_path, tool="redis", test="GET", systems=["plain"])
    done = bench("run", scenario, "--timeout", "3s", "--json", path=tmp_path)
    failed(done, words, others=())


def servers(pid):
    """The processes of pingpong's server below a run; its clients come and go meanwhile."""
    found = []
    for each in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [each] * (each.cmdline()[1:2] == ["serve"])
    return found


def test_a_server_that_is_killed(tmp_path):
    scenario = mini(tmp_path, systems=["plain", "relay"], rounds=5)
    with start_bench("run", scenario, "--json") as process:
        for line in process.stderr:
            if " left: " in line:
                break
        found = servers(process.pid)
        assert found
        for each in found:
            each.kill()
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    document = json.loads(output)
    (failure,) = document["failures"]
    assert "SIGKILL" in failure["why"]
    # It was started anew for the others.
    (other,) = {"plain", "relay"} - {failure["system"]}
    (case,) = document["cases"]
    assert len(samples(document, case["key"], other)) == 5
    assert "Traceback" not in errors


def test_a_full_disk_loses_only_the_file(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", full], check=True)
    try:
        scenario = mini(tmp_path, systems=["plain"])
        done = bench("run", scenario, "--output", full / "result.json")
        assert not list(full.iterdir())
    finally:
        subprocess.run(["umount", full], check=True)
    assert done.returncode == 1
    assert "No space left on device (ENOSPC)" in done.stderr.splitlines()[-1]
    (kept,) = Path(tempfile.gettempdir()).glob("result.json")
    assert str(kept) in done.stderr
    kept.unlink()
    assert "pingpong rr" in done.stdout  # the table is there


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_measured(tmp_path, number):
    """What is left behind is seen by the check around every test."""
    output = tmp_path / "result.json"
    scenario = mini(tmp_path, systems=["plain", "bypass", "relay"], rounds=20)
    with start_bench("run", scenario, "--output", output) as process:
        for line in process.stderr:
            if " left: " in line:
                break
        time.sleep(0.3)  # amidst a run
        process.send_signal(number)
        printed, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert "Not complete" in printed
    document = json.loads(output.read_text())
    assert not document["complete"]
    assert document["samples"]


def test_nobody_listens_to_what_it_says(tmp_path):
    """Its output goes into pipes that nobody reads: the result is kept all the same."""
    output = tmp_path / "result.json"
    scenario = mini(tmp_path, systems=["plain"])
    with start_bench("run", scenario, "--output", output) as process:
        process.stdout.close()
        process.stderr.close()
        process.wait(60)
    assert json.loads(output.read_text())["complete"]


def test_a_place_that_cannot_be_written_is_told_before(tmp_path):
    done = bench("run", mini(tmp_path, systems=["plain"]), "--output", "/proc/none/x.json")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.tools("socat")
def test_the_next_run_ends_what_a_peer_of_a_killed_one_left(tmp_path):
    """A process that does not end with its parent."""
    peer(tmp_path, "slow", f"{SOCAT.removeprefix('exec ')},fork {UPSTREAM}; true")
    scenario = mini(tmp_path, systems=["slow"], rounds=20)
    with start_bench("run", scenario, "--peers", tmp_path / "peers") as process:
        for line in process.stderr:
            if " left: " in line:
                break
        process.kill()
    assert bench("run", mini(tmp_path, systems=["plain"])).returncode == 0


def test_the_next_run_collects_what_a_killed_one_left(tmp_path):
    scenario = mini(tmp_path, systems=["plain", "bypass"], rounds=20)
    with start_bench("run", scenario) as process:
        for line in process.stderr:
            if "bypass" in line:
                break
        time.sleep(0.2)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    time.sleep(1)  # the kernel ends its children
    with pins.locked(NAME, print) as held:
        half = held.place.at(f"+bench-{process.pid}-9")
        half.mkdir(mode=0o700)  # as by one that is killed while it attaches
        assert bench("run", scenario, "--rounds", 1).returncode == 0
        assert not half.exists()
    assert not list(Path(tempfile.gettempdir()).glob(f"sockproxy-bench-*.{process.pid}.*"))
