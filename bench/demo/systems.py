"""What is compared: no proxy, and proxies that run beside the client as a sidecar does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bench.demo.network import IPERF_PORT, NETPERF_PORT, PROXY_GROUP, SERVER, Network
from bench.demo.process import ROOT, Server, serving
from sockproxy.errors import SockproxyError

__all__ = ["HAPROXY", "PLAIN", "RELAY", "SPLICED", "TITLES", "Moved", "System", "running_systems"]

PLAIN, HAPROXY, RELAY, SPLICED = "plain", "haproxy", "relay", "spliced"
TITLES = {
    PLAIN: "plain TCP",
    HAPROXY: "HAProxy",
    RELAY: "sockproxy --relay",
    SPLICED: "sockproxy",
}

# Ports of the proxies, below those that netperf takes for itself.
HAPROXY_PORTS = {IPERF_PORT: 4101, NETPERF_PORT: 4102}
SOCKPROXY_PORTS = {RELAY: 4200, SPLICED: 4300}
HAPROXY_CONFIGURATION = "bench/peers/haproxy.cfg"


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes that a sockproxy has moved since it began: in the kernel, and in user space."""

    redirected: int
    pumped: int

    def __sub__(self, before: Moved) -> Moved:
        return Moved(self.redirected - before.redirected, self.pumped - before.pumped)

    @property
    def share(self) -> float:
        """Of the bytes, the part that stayed in the kernel: 0 to 1."""
        total = self.redirected + self.pumped
        return self.redirected / total if total else 0.0


@dataclass(frozen=True, slots=True)
class System:
    """One way from the client to the server.

    redirect: the server's port -> the proxy's port in the client's namespace.
    name: what `sockproxy status` calls it; None for what is not ours.
    why_not: why a proxy that should be accelerated is not.
    """

    key: str
    redirect: Mapping[int, int] = field(default_factory=dict)
    server: Server | None = None
    name: str | None = None
    why_not: str = ""

    def moved(self) -> Moved | None:
        """What `sockproxy status` counts; None for what is not ours."""
        if self.name is None:
            return None
        status = _status(self.name)
        return Moved(status["redirected"], status["pumped"])


def _status(name: str) -> dict[str, int]:
    argv = [sys.executable, "-m", "sockproxy", "status", name, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, cwd=ROOT)
    if done.returncode != 0:
        raise SockproxyError(f"ask the proxy {name}: {done.stderr.strip()}")
    status: dict[str, int] = json.loads(done.stdout)["proxies"][0]
    return status


@contextlib.contextmanager
def running_systems(network: Network, *, haproxy: bool) -> Iterator[list[System]]:
    """All systems, each with its process. They stay for the whole run: an idle proxy
    costs the others nothing, and none is measured cold."""
    with contextlib.ExitStack() as undo:
        systems = [System(PLAIN)]
        if haproxy:
            systems.append(undo.enter_context(_haproxy(network)))
        for key in (RELAY, SPLICED):
            systems.append(undo.enter_context(_sockproxy(network, key)))
        yield systems


@contextlib.contextmanager
def _haproxy(network: Network) -> Iterator[System]:
    environment = {
        "LISTEN_IPERF": str(HAPROXY_PORTS[IPERF_PORT]),
        "LISTEN_NETPERF": str(HAPROXY_PORTS[NETPERF_PORT]),
        "SERVER_IPERF": f"{SERVER}:{IPERF_PORT}",
        "SERVER_NETPERF": f"{SERVER}:{NETPERF_PORT}",
    }
    with serving(
        ["haproxy", "-db", "-f", HAPROXY_CONFIGURATION],
        network.client,
        list(HAPROXY_PORTS.values()),
        group=PROXY_GROUP,
        environment=environment,
    ) as server:
        yield System(HAPROXY, HAPROXY_PORTS, server)


@contextlib.contextmanager
def _sockproxy(network: Network, key: str) -> Iterator[System]:
    port, name = SOCKPROXY_PORTS[key], f"demo-{key}-{os.getpid()}"
    argv = [
        *(sys.executable, "-m", "sockproxy", "proxy", "--listen", f"127.0.0.1:{port}"),
        *("--upstream", "original-dst", "--name", name, "--grace", "0.5s"),
        *(["--relay"] if key == RELAY else []),
    ]
    with serving(argv, network.client, [port], group=PROXY_GROUP) as server:
        why_not = str(_status(name)["why_not"]) if key == SPLICED else ""
        redirect = {IPERF_PORT: port, NETPERF_PORT: port}
        yield System(key, redirect, server, name, why_not)
