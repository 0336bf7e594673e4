"""Which systems there are, and what they are made of."""

from __future__ import annotations

import pytest

from sockproxy.bench.peers import find_peers
from sockproxy.bench.scenario import find_scenario, scenario_files
from sockproxy.bench.systems import DIRECT, resolve
from sockproxy.errors import UsageError
from tests.support.bench import peer


@pytest.mark.parametrize("name", scenario_files())
def test_every_system_of_a_scenario_is_there(name):
    scenario, peers = find_scenario(name), find_peers()
    for key in {*scenario.against, *(each for case in scenario.cases for each in case.systems)}:
        assert resolve(key, peers).key == key


@pytest.mark.parametrize("suffix", ["", "-all"])
def test_a_short_circuit_has_a_proxy_and_the_bypass_of_its_namesake(suffix):
    system, bypass = resolve(f"short-circuit{suffix}", find_peers()), DIRECT[f"bypass{suffix}"]
    assert system.short_circuits
    assert system.peer is not None
    assert (system.bypassed, system.all_readers) == (bypass.bypassed, bypass.all_readers)
    assert "--no-short-circuit" not in system.peer.argv


@pytest.mark.parametrize(
    "key", [*DIRECT, "splice", "splice-eager", "relay+bypass", "haproxy+bypass"]
)
def test_nothing_else_is_short_circuited(key):
    system = resolve(key, find_peers())
    assert not system.short_circuits
    if key.startswith("splice"):
        assert system.peer is not None
        assert "--no-short-circuit" in system.peer.argv, "whatever is attached beside the run"


def test_a_peer_of_others_may_be_in_between_too(tmp_path):
    peer(tmp_path, "mesh", "sleep 1")
    file = tmp_path / "peers" / "mesh.toml"
    file.write_text(f"{file.read_text()}bypassed = true\nall_readers = true\n")
    system = resolve("mesh", find_peers(tmp_path / "peers"))
    assert (system.bypassed, system.all_readers, system.short_circuits) == (True, True, False)


@pytest.mark.parametrize("key", ["splice+bypass", "short-circuit+bypass", "short"])
def test_what_is_no_system(key):
    with pytest.raises(UsageError):
        resolve(key, find_peers())
