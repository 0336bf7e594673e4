"""The load: iperf3 and netperf, each run's command line and figures."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.demo.network import IPERF_PORT, NETPERF_PORT, SERVER, Network
from bench.demo.process import Server, run_client, serving
from sockproxy.errors import SockproxyError

__all__ = ["MEASURES", "Load", "Measure", "Result", "load_servers"]

NETPERF_CONTROL = 12865
MESSAGE = 64  # bytes of a request, and of a response
SLACK = 20.0  # seconds that a client may take beyond what it was told
NETPERF_KEYS = "THROUGHPUT,ELAPSED_TIME,MEAN_LATENCY,P99_LATENCY"
# netperf binds each of TCP_CRR's connections itself; the kernel's own range, from 32768,
# is then left to the proxies.
CRR_PORTS = "5000,30000"
CRR_WARM_UP, CRR_MOST = 300, 20_000  # transactions


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of run: a test, and which of the two chosen CPUs each part is pinned to.

    test: "stream" is iperf3's; TCP_RR and TCP_CRR are netperf's.
    """

    key: str
    test: str
    title: str
    client: int
    proxy: int
    server: int

    @property
    def program(self) -> str:
        """Whose server it needs."""
        return "iperf3" if self.test == "stream" else "netperf"


# All on one CPU: nobody gets more CPU than the others, and no wake-up crosses CPUs. With
# the proxy on the other CPU, a relay has a CPU to itself; what the kernel does for the
# accelerated proxy mostly stays on the CPU of the two ends.
MEASURES = (
    Measure("bulk", "stream", "iperf3, one stream, all on one CPU", 0, 0, 0),
    Measure("bulk2", "stream", "iperf3, one stream, proxy on the other CPU", 0, 1, 0),
    Measure("rr", "TCP_RR", "netperf TCP_RR, all on one CPU", 0, 0, 0),
    Measure("rr2", "TCP_RR", "netperf TCP_RR, proxy on the other CPU", 0, 1, 0),
    Measure("crr", "TCP_CRR", "netperf TCP_CRR, all on one CPU", 0, 0, 0),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a client said. work: payload bytes in GB, or transactions in 100k."""

    argv: tuple[str, ...]
    values: dict[str, float]
    work: float
    raw: Any


@dataclass(frozen=True, slots=True)
class Load:
    """The servers, by the program that drives them."""

    network: Network
    servers: dict[str, Server]

    def run(self, measure: Measure, cpu: int, seconds: int, transactions: int = 0) -> Result:
        """One run of about `seconds`; TCP_CRR instead runs for so many transactions."""
        if measure.test == "stream":
            return self._iperf3(cpu, seconds)
        if measure.test == "TCP_CRR":
            # Told a duration, netserver sits in accept() for 4 s after the end.
            return self._netperf(cpu, seconds, "TCP_CRR", -transactions, "-p", CRR_PORTS)
        return self._netperf(cpu, seconds, "TCP_RR", seconds)

    def _iperf3(self, cpu: int, seconds: int) -> Result:
        argv = ("iperf3", "-4", "-c", SERVER, "-p", str(IPERF_PORT), "-t", str(seconds), "-J")
        report = json.loads(run_client(argv, self.network.client, cpu, seconds + SLACK))
        if "error" in report:
            raise SockproxyError(f"iperf3: {report['error']}")
        received = report["end"]["sum_received"]
        values = {"gbit_per_s": received["bits_per_second"] / 1e9}
        return Result(argv, values, received["bytes"] / 1e9, report["end"])

    def _netperf(self, cpu: int, seconds: int, test: str, length: int, *options: str) -> Result:
        argv = (
            *("netperf", "-P", "0", "-H", SERVER, "-p", str(NETPERF_CONTROL), "-t", test),
            *("-l", str(length), "--", "-r", f"{MESSAGE},{MESSAGE}"),
            *("-P", f",{NETPERF_PORT}", "-k", NETPERF_KEYS, *options),
        )
        output = run_client(argv, self.network.client, cpu, seconds + SLACK)
        said = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        try:
            rate, elapsed, mean, p99 = (float(said[key]) for key in NETPERF_KEYS.split(","))
        except (KeyError, ValueError):
            raise SockproxyError(f"netperf gave no figures: {' '.join(output.split())}") from None
        values = {"per_s": rate, "mean_us": mean, "p99_us": p99}
        return Result(argv, values, rate * elapsed / 1e5, said)

    def crr_transactions(self, measure: Measure, cpu: int, seconds: int) -> int:
        """How many TCP_CRR transactions take about `seconds`, by a short run."""
        result = self.run(measure, cpu, seconds, CRR_WARM_UP)
        return max(CRR_WARM_UP, min(CRR_MOST, int(result.values["per_s"] * seconds)))


@contextlib.contextmanager
def load_servers(network: Network) -> Iterator[Load]:
    """An iperf3 server and a netserver in the server's namespace."""
    iperf3 = ["iperf3", "-4", "-s", "-p", str(IPERF_PORT)]
    netserver = ["netserver", "-4", "-D", "-p", str(NETPERF_CONTROL)]
    with (
        serving(iperf3, network.server, [IPERF_PORT]) as iperf3_server,
        serving(netserver, network.server, [NETPERF_CONTROL]) as netperf_server,
    ):
        yield Load(network, {"iperf3": iperf3_server, "netperf": netperf_server})
