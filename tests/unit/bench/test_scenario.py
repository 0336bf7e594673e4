"""What a scenario says of its cases."""

from __future__ import annotations

from sockproxy.bench import ability, machine
from sockproxy.bench.load import TOOLS
from sockproxy.bench.scenario import find_scenario
from tests.support.bench import PLAIN_LINE


def cases(tmp_path, line):
    file = tmp_path / "x.toml"
    file.write_text(f"{PLAIN_LINE}{line}\n")
    return find_scenario(str(file)).cases


def test_a_case_for_each_congestion_control(tmp_path):
    plain, paced = cases(tmp_path, "control = ['reno', 'bbr']")
    assert (plain.control, paced.control) == ("reno", "bbr")
    assert paced.key == f"{plain.key}-bbr"
    assert paced.title == f"{plain.title}, bbr by default"


def test_a_congestion_control_that_namespaces_may_not_have(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_knob", lambda name: "reno cubic")
    plain, paced = cases(tmp_path, "control = ['reno', 'bbr']")
    assert ability.why_no_case(plain, TOOLS["pingpong"]) == ""
    assert "modprobe tcp_bbr" in ability.why_no_case(paced, TOOLS["pingpong"])
