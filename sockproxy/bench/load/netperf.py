"""netperf: bulk both ways, request and response, connect and request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sockproxy.bench.load.base import (
    TOLD,
    Host,
    Load,
    Outcome,
    Target,
    Test,
    Tool,
    no_figures,
    same_bytes,
)

__all__ = ["Netperf"]

CONTROL = 12865
KEYS = (
    "THROUGHPUT",
    "THROUGHPUT_UNITS",
    "ELAPSED_TIME",
    "MEAN_LATENCY",
    "P50_LATENCY",
    "P90_LATENCY",
    "P99_LATENCY",
    "LOCAL_BYTES_SENT",
    "LOCAL_BYTES_RECVD",
    "REMOTE_BYTES_SENT",
    "REMOTE_BYTES_RECVD",
    "LOCAL_SEND_CALLS",
    "LOCAL_RECV_CALLS",
    "REMOTE_SEND_CALLS",
    "REMOTE_RECV_CALLS",
)
# netperf binds each of TCP_CRR's connections itself; the kernel's own range, from 32768,
# is then left to the proxies.
CRR_PORTS = "5000,30000"


class Netperf(Tool):
    name = "netperf"
    title = "netperf"
    programs = ("netperf", "netserver")
    install = "tools/setup-debian, or apt-get install netperf from Debian's component non-free"
    versions: Mapping[str, Sequence[str]] = {"netperf": ("netperf", "-V")}
    tests: Mapping[str, Test] = {
        "TCP_STREAM": Test(128 << 10, "gbit_per_s", many=False),
        "TCP_MAERTS": Test(128 << 10, "gbit_per_s", many=False),
        "TCP_RR": Test(64, "per_s", many=False),
        # Told a time, netserver sits in accept() for four seconds after the end.
        "TCP_CRR": Test(64, "per_s", counted=True, many=False),
    }
    port = 12866  # of the data connection, which alone goes through a proxy

    def serve(self, load: Load, host: Host) -> None:
        argv = ["netserver", "-4", "-D", "-L", host.address, "-p", str(CONTROL)]
        host.start(argv, ports=[CONTROL])

    def command(self, load: Load, target: Target, amount: int) -> list[str]:
        counted = self.tests[load.test].counted
        argv = ["netperf", "-P", "0", "-H", target.address, "-p", str(CONTROL), "-t", load.test]
        argv += ["-l", str(-amount if counted else amount), "--", "-P", f",{self.port}"]
        argv += ["-k", ",".join(KEYS)]
        if load.test.endswith("RR"):
            argv += ["-r", f"{load.size},{load.size}"]
        elif load.test == "TCP_STREAM":
            argv += ["-m", str(load.size)]
        else:
            argv += ["-M", str(load.size)]
        return [*argv, "-p", CRR_PORTS] if load.test == "TCP_CRR" else argv

    def read(self, load: Load, output: str, amount: int) -> Outcome:
        said = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        try:
            rate = float(said["THROUGHPUT"])
            sent, received = (
                int(said[f"LOCAL_BYTES_{way}"]) + int(said[f"REMOTE_BYTES_{way}"])
                for way in ("SENT", "RECVD")
            )
            if not load.test.endswith("RR"):
                values = {"gbit_per_s": rate / 1e3}  # netperf's unit is 10^6 bits
                return Outcome(values, received, checks=same_bytes(sent, received), raw=said)
            values = {"per_s": rate}
            for key in ("MEAN", "P50", "P99"):
                values[f"{key.lower()}_us"] = float(said[f"{key}_LATENCY"])
        except (KeyError, ValueError):
            raise no_figures("netperf", output[-TOLD:]) from None
        if self.tests[load.test].counted:
            return Outcome(values, amount * 2 * load.size, amount, raw=said)
        # Its rate times its time misses the first and the last transaction.
        done = int(said["LOCAL_BYTES_RECVD"]) // load.size
        return Outcome(values, done * 2 * load.size, done, raw=said)
