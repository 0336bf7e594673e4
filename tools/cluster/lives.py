"""Rows of tools/cluster/trial.py about how pods begin, go on and end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tools.cluster.kube import (
    FIRST,
    NAME,
    address,
    apply,
    eventually,
    kubectl,
    on_node,
    pod,
    ready_at,
    talk_file,
    talker,
)
from tools.cluster.talks import Talk, ask

__all__ = ["exits", "passes", "starts", "static"]

WITHIN = 2.0  # seconds
ROUNDS, AT_ONCE = 10, 10
# The kubelet's back-off before a container's restarts: 0, 10, 20 and 40 s; the next is 80.
CONTAINERS, RESTARTS = 25, 4
PORT = 7100  # of the first of them; each has its own, as they share the pod's address
SLOWEST = 240.0  # seconds until all have begun again
GROWTH = 1.1  # of the agent's memory


def starts() -> str:
    """A pod with the annotation is bypassed within 2 s of its start."""
    delays = []
    for number in range(5):
        name = f"quick-{number}"
        apply(pod(name, "node1", "mesh", talker("app", "serve")))
        delays.append(_delay(name))
    kubectl("delete", "pod", *(f"quick-{number}" for number in range(5)))
    return _told(delays)


def static() -> str:
    """A static pod with the annotation is bypassed within 2 s of its start."""
    folder = Path(os.environ["NODE_LOGS"]) / "node1/manifests"
    delays, told = [], ""
    for number in range(3):
        manifest = pod(
            f"static-{number}", "", "mesh", talker("app", "serve"), talker("sidecar", "idle")
        )
        # A static pod may ask for nothing that the API server has.
        manifest["spec"]["volumes"] = [
            {"name": "talk", "hostPath": {"path": str(talk_file().parent)}}
        ]
        file = folder / f"static-{number}.json"
        file.write_text(json.dumps(manifest))
        name = f"static-{number}-node1"
        eventually(lambda: address(name), f"the mirror of {name}")  # noqa: B023
        delays.append(_delay(name))
        before = FIRST.bypass(NAME)["bypassed_messages"]
        sent = ask(name, "sidecar", "127.0.0.1", 2)
        moved = FIRST.bypass(NAME)["bypassed_messages"] - before
        if moved < sent:
            raise SystemExit(f"{name}: {moved} messages of {2 * sent} past TCP")
        told = f"of the last {moved} of {2 * sent} messages went past TCP"
        file.unlink()
        eventually(lambda: not address(name), f"{name} is gone")  # noqa: B023
    return f"{_told(delays)}; {told}"


def passes() -> str:
    """100 pods that come and go leave nothing behind."""
    kubectl("delete", "pod", "client", "server", "--ignore-not-found")
    eventually(lambda: not FIRST.bypass(NAME), "the last pods are gone")
    before = len(os.listdir(f"/proc/{FIRST.process()}/fd"))
    for number in range(ROUNDS):
        names = [f"churn-{number}-{each}" for each in range(AT_ONCE)]
        apply(*(pod(each, "node1", "mesh", talker("app", "serve")) for each in names))
        for each in names:
            ready_at(each, "app")
        kubectl("delete", "pod", *names)
    eventually(lambda: not FIRST.bypass(NAME), "the last pods are gone")
    seen = sum("churn" in line and "Bypassed" in line for _, line in FIRST.log())
    pins = _pins()
    after = len(os.listdir(f"/proc/{FIRST.process()}/fd"))
    if pins or after > before + 2:
        raise SystemExit(f"pins {pins}; descriptors {before}, then {after}")
    return (
        f"{seen} pods bypassed; no pin is left; the agent has {after} descriptors, {before} before"
    )


def exits() -> str:
    """100 container restarts of one pod leave nothing behind, and what connects is bypassed."""
    names = [f"app-{number}" for number in range(CONTAINERS)]
    crowd = pod(
        "crowd",
        "node1",
        "mesh",
        *(talker(each, "serve", str(PORT + i)) for i, each in enumerate(names)),
    )
    crowd["spec"]["restartPolicy"] = "Always"
    apply(crowd, pod("caller", "node1", "mesh", talker("app", "idle")))
    kubectl("wait", "--for=condition=Ready", "pod/caller", "--timeout=120s")
    states, sent = [], 0
    for restart in range(RESTARTS + 1):
        count = [restart] * CONTAINERS
        eventually(lambda: _restarts() == count, f"restart {restart}", SLOWEST)  # noqa: B023
        words = ("until", address("crowd"), str(PORT), str(CONTAINERS))
        with Talk("caller", "app", "", 0, *words) as talk:
            eventually(lambda: _ports() == CONTAINERS, "all connections are bypassed")
            states.append(_left())
            if restart < RESTARTS:
                _kill()
            else:
                kubectl("delete", "pod", "crowd")
        sent += talk.sent
        eventually(lambda: not _sockets(), "all connections are gone")
    kubectl("delete", "pod", "caller")
    eventually(lambda: not FIRST.bypass(NAME), "the last pods are gone")
    first, last = states[0], states[-1]
    same = all(each["pins"] == first["pins"] for each in states)
    if _pins() or not same or last["memory"] > GROWTH * states[1]["memory"]:
        raise SystemExit(f"pins {_pins()}; {states}")
    if any(each["cgroups"] != first["cgroups"] for each in states) or len(first["cgroups"]) != 2:
        raise SystemExit(f"cgroups: {states}")
    memory = ", ".join(f"{each['memory'] / 1024:.1f}" for each in states)
    return (
        f"{CONTAINERS} containers, {RESTARTS} restarts of each: all {CONTAINERS * len(states)}"
        f" connections bypassed, {sent} messages answered right, each told of its end; always the"
        f" same 2 cgroups and {len(first['pins'])} pins, afterwards none; the agent had"
        f" {', '.join(str(each['descriptors']) for each in states)} descriptors and {memory} MiB"
    )


def _delay(name: str) -> float:
    """From when a pod's program was ready until it was bypassed."""
    ready = ready_at(name, "app")
    eventually(lambda: FIRST.says(f"pod default/{name}: Bypassed"), f"{name} is bypassed")
    at = next(when for when, line in FIRST.log() if f"default/{name}: Bypassed" in line)
    return (at - ready).total_seconds()


def _told(delays: list[float]) -> str:
    if max(delays) > WITHIN:
        raise SystemExit(f"{delays}")
    return "seconds after its program was ready: " + ", ".join(f"{each:.2f}" for each in delays)


def _pins() -> list[str]:
    return sorted(on_node("node1", "find", "/sys/fs/bpf", "-mindepth", "2").split())


def _left() -> dict[str, Any]:
    """What a leak would show in."""
    process = Path(f"/proc/{FIRST.process()}")
    memory = next(each for each in (process / "status").read_text().splitlines() if "VmRSS" in each)
    return {
        "pins": _pins(),
        "cgroups": FIRST.bypass(NAME)["cgroups"],
        "descriptors": len(os.listdir(process / "fd")),
        "memory": int(memory.split()[1]),
    }


def _restarts() -> list[int]:
    """How often each container of the crowd that is ready has restarted."""
    about = json.loads(kubectl("get", "pod", "crowd", "-o", "json"))
    found = about["status"].get("containerStatuses", [])
    return [each["restartCount"] for each in found if each["ready"]]


def _sockets() -> list[dict[str, Any]]:
    told = FIRST.run("sockproxy", "connections", NAME, "--json")
    return [one for each in json.loads(told)["bypasses"] for one in each["connections"]]


def _ports() -> int:
    """How many of the crowd's containers have a bypassed connection."""
    return len({each["local"][1] for each in _sockets() if _is_served(each)})


def _is_served(socket: dict[str, Any]) -> bool:
    port: int = socket["local"][1]
    return socket["state"] == "bypassing" and PORT <= port < PORT + CONTAINERS


def _kill() -> None:
    """End the programs of all containers of the crowd."""
    argv = ["pgrep", "--full", "talk.py serve 71"]
    found = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    for each in found:
        os.kill(int(each), signal.SIGKILL)
