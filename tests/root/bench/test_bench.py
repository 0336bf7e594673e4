"""`sockproxy bench run` with real tools: its figures, its failures, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.support.bench import PLAIN_LINE, QUICK_TOOLS, bench, mini, peer, samples, start_bench

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.tools("nft", "cc")]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """`quick`, with one round: what it printed, and its document."""
    output = tmp_path_factory.mktemp("bench") / "quick.json"
    done = bench("run", "quick", "--rounds", 1, "--seed", 7, "--output", output, timeout=240)
    assert done.returncode == 0, done.stderr
    return done, json.loads(output.read_text())


# -- what it finds ------------------------------------------------------------------------


@pytest.mark.tools(*QUICK_TOOLS)
def test_every_system_had_its_turns_at_every_case(quick):
    _, document = quick
    assert document["complete"]
    assert not document["failures"]
    assert not document["skipped"]
    for case in document["cases"]:
        assert {"plain", "bypass"} <= set(case["systems"])
        for system in case["systems"]:
            found = samples(document, case["key"], system)
            assert [each["round"] for each in found] == [1]


@pytest.mark.tools(*QUICK_TOOLS)
def test_every_figure_is_sane(quick):
    _, document = quick
    for sample in document["samples"]:
        values, cpu = sample["values"], sample["cpu"]
        assert all(value >= 0 for value in values.values()), sample
        assert 0.01 < values.get("gbit_per_s", 1) < 1000
        assert 10 < values.get("per_s", 100) < 10_000_000
        assert 0.02 < cpu["client"] < 3
        assert 0.02 < cpu["server"] < 3
        if sample["system"] in ("relay", "haproxy", "haproxy-splice"):
            assert cpu["proxy"] > 0.02
        elif sample["system"] == "splice":
            assert (cpu["proxy"] > 0.02) == sample["case"].startswith("iperf3")
        else:
            assert cpu["proxy"] < 0.01
        # One at a time: rate and latency are two views of one thing.
        if sample["case"].startswith(("pingpong", "netperf")):
            assert values["per_s"] * values["mean_us"] == pytest.approx(1e6, rel=0.2)


@pytest.mark.tools(*QUICK_TOOLS)
def test_counters_agree_with_the_bytes(quick):
    _, document = quick
    for sample in document["samples"]:
        carried, system = sample["carried"], sample["system"]
        if system in ("relay", "splice"):
            assert set(carried) == {"redirected", "pumped"}
            if sample["case"].startswith("pingpong"):
                assert sum(carried.values()) >= sample["raw"]["bytes"]
        if system == "relay":
            assert carried["redirected"] == 0
        if sample["case"].startswith("pingpong"):
            assert sample["checks"] == ["every byte in its place"]
            if system == "splice":
                assert carried["redirected"] > 0.9 * sum(carried.values())
            if system == "bypass":
                assert carried["bypassed"] > 0.9 * sample["raw"]["bytes"]
        if sample["case"].startswith("iperf3") and system == "bypass":
            assert carried["tcp"] >= sample["raw"]["sum_received"]["bytes"]


@pytest.mark.tools(*QUICK_TOOLS)
def test_the_table_shows_all(quick):
    done, document = quick
    for system in document["systems"]:
        assert system["title"] in done.stdout
    for case in document["cases"]:
        assert case["title"] in done.stdout
    for words in ("Ratio to plain TCP", "p99 latency", "CPU s per GB", "bypassed", "redirected"):
        assert words in done.stdout


@pytest.mark.tools(*QUICK_TOOLS)
def test_progress_tells_the_time_left(quick):
    done, document = quick
    runs = [line for line in done.stderr.splitlines() if " left: " in line]
    assert len(runs) == len(document["samples"])
    assert "0m00s left" in runs[-1]


@pytest.mark.tools(*QUICK_TOOLS)
def test_the_document_names_no_path_of_this_machine(quick):
    _, document = quick
    assert os.getcwd() not in json.dumps(document)
    assert sys.prefix not in json.dumps(document)
    assert document["machine"]["versions"]["netperf"].startswith("Netperf")


@pytest.mark.tools(*QUICK_TOOLS)
def test_it_can_be_reported_and_compared_with_itself(quick, tmp_path):
    _, document = quick
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    done = bench("report", path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "a.html").read_text()
    assert all(system["title"] in page for system in document["systems"])
    done = bench("compare", path, path, "--fail-on-worse")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("topology", ["veth", "sidecars"])
def test_other_topologies(tmp_path, topology):
    scenario = mini(tmp_path, systems=["plain", "relay", "relay+bypass"], topology=topology,
                    placement="free")  # fmt: skip
    done = bench("run", scenario, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (relay,) = samples(document, document["cases"][0]["key"], "relay")
    hops = 2 if topology == "sidecars" else 1
    assert relay["carried"]["pumped"] >= hops * relay["raw"]["bytes"]


@pytest.mark.parametrize("test", ["rr-beside", "crr-beside"])
def test_beside_streams(tmp_path, test):
    scenario = mini(tmp_path, systems=["plain", "relay"], test=test, connections=3)
    done = bench("run", scenario, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert "3 connections" in document["cases"][0]["title"]
    for system in ("plain", "relay"):
        (sample,) = samples(document, document["cases"][0]["key"], system)
        assert sample["checks"] == ["every byte in its place"]
        assert sample["values"]["per_s"] > 0
        assert sample["values"]["gbit_per_s"] > 0
        assert "cpu_s_per_gb" in sample["values"]
        if system == "relay":
            raw = sample["raw"]
            assert sample["carried"]["pumped"] >= raw["bytes"] + raw["beside_in_all"]


# -- what goes wrong ----------------------------------------------------------------------


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


def test_a_server_that_is_killed(tmp_path):
    scenario = mini(tmp_path, systems=["plain", "relay"], rounds=5)
    with start_bench("run", scenario, "--json") as process:
        for line in process.stderr:
            if " left: " in line:
                break
        found = [each for each in psutil.Process(process.pid).children(recursive=True)
                 if each.cmdline()[1:2] == ["serve"]]  # fmt: skip
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
    assert bench("run", scenario, "--rounds", 1).returncode == 0
    assert not list(Path(tempfile.gettempdir()).glob(f"sockproxy-bench-*.{process.pid}.*"))


# -- what it refuses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[case]]\n", "tool: missing"),
        (PLAIN_LINE.replace("title", "# "), "title: missing"),
        ("title = 'x'\nrounds = 0\n[[case]]\n", "tool: missing"),
        ("title = 'x'\nturns = 1", "turns: unknown"),
        ("title = ", "Invalid value"),
        ("title = 'x'\n[[case]]\ntool = 'nc'", "'nc' is none of netperf"),
        ("title = 'x'\n[[case]]\ntool = 'netperf'\ntest = 'UDP'", "'UDP' is none of TCP_STREAM"),
        (PLAIN_LINE + "size = '0'", "size: must be from 1 byte"),
        (PLAIN_LINE + "size = 'big'", "size 'big'"),
        (PLAIN_LINE + "connections = 0", "whole number from 1"),
        (PLAIN_LINE + "connections = 2", "pingpong rr has one"),
        (PLAIN_LINE + "topology = 'ring'", "'ring' is none of loopback"),
        (PLAIN_LINE.replace("plain", "pla in"), "is no system"),
        (PLAIN_LINE.replace("plain", "ngnix"), "no system ngnix"),
    ],
)
def test_a_scenario_that_is_wrong(tmp_path, text, words):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    done = bench("run", path)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["nothing", "nothing.toml", "/"])
def test_a_scenario_that_is_not_there(name):
    done = bench("run", name)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_tool_is_skipped_and_named(tmp_path):
    for name in ("cc", "nft", "ld", "as"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}" if name != "nft" else "/usr/sbin/nft")
    scenario = mini(tmp_path, tool="netperf", test="TCP_RR", systems=["plain"])
    done = bench("run", scenario, path=tmp_path, only_path=True)
    assert done.returncode == 1
    assert "no netperf, netserver: tools/setup-debian" in done.stderr
    assert "nothing could be measured" in done.stderr.splitlines()[-1]


def test_list():
    done = bench("list", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert {each["name"] for each in listed["scenarios"]} >= {"quick", "standard", "full"}
    assert {each["key"] for each in listed["systems"]} >= {"plain", "unix", "bypass", "relay"}
    assert "netperf" in bench("list").stdout
