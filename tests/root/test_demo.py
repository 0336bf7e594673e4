"""`make demo`, scaled down: all its figures are there and sane, and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.needs import find_program

ROOT = Path(__file__).resolve().parents[2]
ARGV = [sys.executable, "-m", "bench.demo", "--rounds", "1", "--seconds", "1"]
STREAMS = ("bulk", "bulk2")
MEASURES = (*STREAMS, "rr", "rr2", "crr")
SOCKPROXIES = ("relay", "spliced")

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.tools("iperf3", "netperf", "netserver", "nft", "setpriv"),
]


def run_demo(*arguments, path=None):
    environment = dict(os.environ) if path is None else {**os.environ, "PATH": str(path)}
    return subprocess.run(
        [*ARGV, *map(str, arguments)], capture_output=True, text=True, timeout=200, cwd=ROOT,
        env=environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One run: the finished process and the document it wrote."""
    output = tmp_path_factory.mktemp("demo") / "demo.json"
    done = run_demo("--seed", 7, "--json", output)
    assert done.returncode == 0, done.stderr
    return done, json.loads(output.read_text())


def samples(document, measure, system):
    return [
        sample
        for sample in document["samples"]
        if (sample["measure"], sample["system"]) == (measure, system)
    ]


def test_every_system_had_its_turn_at_every_measure(demo):
    _, document = demo
    systems = [system["key"] for system in document["systems"]]
    assert systems[0] == "plain"
    assert set(SOCKPROXIES) <= set(systems)
    assert ("haproxy" in systems) == (find_program("haproxy") is not None)
    for measure in MEASURES:
        for system in systems:
            assert len(samples(document, measure, system)) == 1


def test_every_figure_is_sane(demo):
    _, document = demo
    for sample in document["samples"]:
        values = sample["values"]
        assert all(value >= 0 for value in values.values()), sample
        assert sample["busy"] > 0
        if sample["measure"] in STREAMS:
            assert 0.01 < values["gbit_per_s"] < 1000
        else:
            assert 10 < values["per_s"] < 10_000_000
            assert 0 < values["mean_us"] <= 1e6
            # One transaction at a time: rate and latency are two views of one thing.
            assert values["per_s"] * values["mean_us"] == pytest.approx(1e6, rel=0.2)


def test_only_the_proxies_are_redirected_to(demo):
    _, document = demo
    for sample in document["samples"]:
        assert (sample["redirected"] > 0) == (sample["system"] != "plain")
        assert (sample["moved"] is not None) == (sample["system"] in SOCKPROXIES)


def test_what_the_proxies_counted_is_what_the_clients_did(demo):
    _, document = demo
    for sample in document["samples"]:
        if sample["moved"] is None:
            continue
        moved = sum(sample["moved"].values())
        if sample["measure"] in STREAMS:
            assert moved >= sample["raw"]["sum_received"]["bytes"]
        else:
            transactions = sample["values"]["per_s"] * float(sample["raw"]["ELAPSED_TIME"])
            assert moved >= 2 * 64 * transactions * 0.95  # netperf rounds its times


def test_requests_stay_in_the_kernel_and_the_relay_never_uses_it(demo):
    _, document = demo
    for measure in MEASURES:
        (relay,) = samples(document, measure, "relay")
        assert relay["moved"]["redirected"] == 0
        (spliced,) = samples(document, measure, "spliced")
        if measure.startswith("rr"):  # streams and single requests are pumped
            assert spliced["moved"]["redirected"] > spliced["moved"]["pumped"]


def test_the_table_shows_all(demo):
    done, _ = demo
    titles = ("plain TCP", "sockproxy --relay", "vs relay", "iperf3", "TCP_RR", "TCP_CRR",
              "Gbit/s", "transactions/s", "p99 latency", "CPU s / GB", "in kernel")  # fmt: skip
    for title in titles:
        assert title in done.stdout


def test_the_document_names_no_path_of_this_machine(demo):
    _, document = demo
    assert str(ROOT) not in json.dumps(document)
    assert sys.prefix not in json.dumps(document)
    assert document["machine"]["versions"]["netperf"].startswith("Netperf")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_undoes_all(number):
    """What is left behind is seen by the check around every test."""
    process = subprocess.Popen(ARGV, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               cwd=ROOT)  # fmt: skip
    with process:
        for line in process.stderr:
            if "1/" in line:
                break
        time.sleep(0.3)  # amidst a run
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert output == ""


def test_killed_without_warning_it_leaves_no_process():
    process = subprocess.Popen(ARGV, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    with process:
        for line in process.stderr:
            if "1/" in line:
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_a_missing_tool_is_one_line(tmp_path):
    for name in ("iperf3", "nft", "setpriv"):
        (tmp_path / name).symlink_to(find_program(name))
    done = run_demo(path=tmp_path)
    assert done.returncode == 4
    assert "netperf, netserver" in done.stderr
    assert "tools/setup-debian" in done.stderr
    assert len(done.stderr.splitlines()) == 1
