"""Tools that are made of two command lines: how they are described, and what is wrong with some."""

from __future__ import annotations

import shlex

import pytest

from sockproxy.bench.load.base import Target
from sockproxy.bench.load.commands import PORT, Commands, Description, split
from sockproxy.bench.load.figure import read_finder
from sockproxy.bench.scenario import find_scenario, scenario_of
from sockproxy.errors import SockproxyError, UsageError

FIGURE = read_finder("rate: (.*)")
TOOL = """\
title = "Some tool"
server = ["server", "$port"]
client = ["client", "$address", "$port", "-c", "$connections"]
figure = 'rate: (.*)'
unit = "things/s"
"""
SCENARIO = """\
title = "x"
[[case]]
tool = "tools/some.toml"
connections = [1, 4]
systems = ["plain"]
"""


def write(folder, tool=TOOL, scenario=SCENARIO):
    (folder / "tools").mkdir()
    (folder / "tools" / "some.toml").write_text(tool)
    path = folder / "mine.toml"
    path.write_text(scenario)
    return str(path)


def make(*client, **options):
    return Commands(Description(["server"], client, FIGURE, **options), "here")


def test_a_tool_of_a_file(tmp_path):
    one, four = find_scenario(write(tmp_path)).cases
    assert one.key == "some-tool-1-loopback-together"
    assert four.title == "Some tool, 4 connections; loopback, all on one CPU"
    target = Target("192.0.2.2", tmp_path)
    argv = four.tool.command(four, target, 1)
    assert argv == ["client", "192.0.2.2", str(PORT), "-c", "4"]
    (metric,) = four.tool.metrics.values()
    assert (metric.title, metric.more_is_better) == ("things/s", True)
    outcome = four.tool.read(four, "rate: 12.5", 1)
    assert outcome.values == {metric.key: 12.5}
    with pytest.raises(SockproxyError, match=r"Some tool: .* it printed nothing"):
        four.tool.read(four, "", 1)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("figure = 'rate: (.*)'", "", "figure: missing"),
        ("figure = 'rate: (.*)'", "figure = 'rate'", "some.toml:4: figure: regular expression"),
        ('unit = "things/s"', "port = 70000", "some.toml:5: port: must be a whole number"),
        ('"$address", ', '"$nowhere", ', "some.toml: there is no $nowhere"),
        ('"$address", ', '"5$", ', "write $$ for a dollar"),
        ('"$port", "-c"', '"-c"', "the client has no $port"),
        ('"-c", "$connections"', '"-c"', "their number in some-tool cannot be chosen"),
        ('["server", "$port"]', '"server"', "server: must be a list of texts"),
        ("title", "name", "name: unknown"),
    ],
)
def test_a_file_that_is_wrong(tmp_path, before, after, words):
    path = write(tmp_path, TOOL.replace(before, after))
    with pytest.raises(UsageError) as failed:
        find_scenario(path)
    assert words in str(failed.value)
    assert "mine.toml" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_file_that_is_not_there(tmp_path):
    path = write(tmp_path, scenario=SCENARIO.replace("some.toml", "other.toml"))
    with pytest.raises(UsageError, match=r"mine\.toml:3: case 1: tool: read .*No such file"):
        find_scenario(path)


def test_a_scenario_of_commands():
    tool = make("./client", "$port", less_is_better=True)
    (case,) = scenario_of(tool, ["haproxy", "plain"]).cases
    assert case.systems == ("plain", "haproxy")
    assert (case.size, case.connections, case.title) == (0, 0, "client; loopback, all on one CPU")
    assert tool.command(case, Target("a", tool), 1)[0].endswith("/client")
    assert not next(iter(tool.metrics.values())).more_is_better
    described = tool.described()
    assert shlex.split(described["client"])[1] == "$port"


def test_figures_of_each_second(tmp_path):
    path = write(tmp_path, TOOL + "each_second = '^s: (.*)$'\n")
    case = find_scenario(path).cases[0]
    outcome = case.tool.read(case, "s: 1\ns: 0\nrate: 2\n", 2)
    assert outcome.each_second == (1, 0)
    with pytest.raises(SockproxyError, match=r"matches nothing .*; it printed rate: 2"):
        case.tool.read(case, "rate: 2", 2)
    assert case.tool.described()["each_second"] == "^s: (.*)$"


def test_a_port_of_its_own():
    assert make("client", port=6379).port == 6379
    with pytest.raises(UsageError, match=r"has no \$port; write it, in single quotes"):
        make("client")


@pytest.mark.parametrize("text", ["", "''", "it's"])
def test_no_command_line(text):
    with pytest.raises(UsageError, match=r"^--server: "):
        split(text, "--server")
