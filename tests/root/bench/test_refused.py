"""`sockproxy bench`: what it refuses or skips, and what it lists."""

from __future__ import annotations

import json

import pytest

from tests.support.bench import PLAIN_LINE, bench, mini

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.tools("nft", "cc")]


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
        (PLAIN_LINE + "connections = 2", "in pingpong rr cannot be chosen"),
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
