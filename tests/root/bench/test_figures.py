"""`sockproxy bench run` with real tools: its figures, and what it shows of them."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.support.bench import QUICK_TOOLS, bench, mini, samples

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.tools("nft", "cc")]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """`quick`, with one round: what it printed, and its document."""
    output = tmp_path_factory.mktemp("bench") / "quick.json"
    done = bench("run", "quick", "--rounds", 1, "--seed", 7, "--output", output, timeout=240)
    assert done.returncode == 0, done.stderr
    return done, json.loads(output.read_text())


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
            if system == "short-circuit":
                assert carried["short_circuited"] > 0.9 * sum(carried.values())
            if system == "bypass":
                assert carried["bypassed"] > 0.9 * sample["raw"]["bytes"], sample
        assert ("left_plain" in sample) <= (system in ("bypass", "short-circuit"))
        if sample["case"].startswith("iperf3") and system == "bypass":
            assert carried["tcp"] >= sample["raw"]["sum_received"]["bytes"]


@pytest.mark.tools(*QUICK_TOOLS)
def test_the_table_shows_all(quick):
    done, document = quick
    for system in document["systems"]:
        assert system["title"] in done.stdout
    for case in document["cases"]:
        assert case["title"] in done.stdout
    for words in ("Ratio to plain TCP", "p99 latency", "CPU s per GB"):
        assert words in done.stdout
    for way in ("bypassed", "past the proxy", "redirected"):
        assert way in done.stdout
    assert "sockproxy bypass left most bytes to TCP. Why its sockets stayed plain: " in done.stdout


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
    scenario = mini(
        tmp_path, systems=["plain", "relay", "relay+bypass"], topology=topology, placement="free"
    )
    done = bench("run", scenario, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (relay,) = samples(document, document["cases"][0]["key"], "relay")
    hops = 2 if topology == "sidecars" else 1
    assert relay["carried"]["pumped"] >= hops * relay["raw"]["bytes"]


@pytest.mark.parametrize("topology", ["veth", "sidecars"])
def test_past_every_proxy(tmp_path, topology):
    """Two systems that each attach and detach, turn by turn, so that the proxy has just had another
    bypass before it has this one."""
    systems = ["plain", "bypass", "short-circuit"]
    scenario = mini(tmp_path, systems=systems, topology=topology, rounds=3)
    done = bench("run", scenario, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    hops = 2 if topology == "sidecars" else 1
    found = samples(document, document["cases"][0]["key"], "short-circuit")
    assert len(found) == 3
    for sample in found:
        assert sample["carried"]["short_circuited"] > 0.9 * hops * sample["raw"]["bytes"]
        assert sample["cpu"]["proxy"] < 0.02


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
