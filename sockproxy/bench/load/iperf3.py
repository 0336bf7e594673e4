"""iperf3: bulk, one way or both, by its program or by its library."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sockproxy.bench.load.base import (
    Host,
    Load,
    Outcome,
    Target,
    Test,
    Tool,
    no_figures,
    same_bytes,
)
from sockproxy.errors import SockproxyError

__all__ = ["Iperf3"]

OPTIONS = {"stream": (), "reverse": ("-R",), "bidir": ("--bidir",)}
WORKER = "sockproxy.bench.load.iperf3_worker"


class Iperf3(Tool):
    name = "iperf3"
    title = "iperf3"
    programs = ("iperf3",)
    install = "apt-get install iperf3"
    versions: Mapping[str, Sequence[str]] = {"iperf3": ("iperf3", "--version")}
    tests: Mapping[str, Test] = {
        "stream": Test(128 << 10, "gbit_per_s"),
        "reverse": Test(128 << 10, "gbit_per_s"),
        "bidir": Test(128 << 10, "gbit_per_s"),
        "library": Test(128 << 10, "gbit_per_s"),
    }
    port = 5201  # of control and data

    def serve(self, load: Load, host: Host) -> None:
        argv = ["iperf3", "-4", "-s", "-B", host.address, "-p", str(self.port)]
        host.start(argv, ports=[self.port])

    def command(self, load: Load, target: Target, amount: int) -> list[str]:
        if load.test == "library":
            options = {
                "server_hostname": target.address,
                "port": self.port,
                "duration": amount,
                "num_streams": load.connections,
                "blksize": load.size,
            }
            return [sys.executable, "-m", WORKER, json.dumps(options)]
        return [
            *("iperf3", "-4", "-J", "-c", target.address, "-p", str(self.port), "-t", str(amount)),
            *("-l", str(load.size), "-P", str(load.connections), *OPTIONS[load.test]),
        ]

    def read(self, load: Load, output: str, amount: int) -> Outcome:
        try:
            report = json.loads(output)
            if "error" in report:
                raise SockproxyError(f"iperf3: {report['error']}")
            end = report["end"]
            ways = [end["sum_received"]]
            if load.test == "bidir":
                ways.append(end["sum_received_bidir_reverse"])
            rate = sum(way["bits_per_second"] for way in ways)
            payload = sum(int(way["bytes"]) for way in ways)
            course = tuple(_rate(each) / 1e9 for each in report.get("intervals", []))
            checks = same_bytes(end["sum_sent"]["bytes"], end["sum_received"]["bytes"])
        except (ValueError, KeyError, TypeError):
            raise no_figures("iperf3", output) from None
        values = {"gbit_per_s": rate / 1e9}
        return Outcome(values, payload, checks=checks, raw=end, each_second=course)


def _rate(interval: Mapping[str, Any]) -> float:
    """Bits per second both ways, as the client has counted them."""
    ways = (interval.get(name) for name in ("sum", "sum_bidir_reverse"))
    return sum(float(way["bits_per_second"]) for way in ways if way is not None)
