"""redis-server and redis-benchmark."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

from sockproxy.bench.load.base import Host, Load, Outcome, Target, Test, Tool, no_figures

__all__ = ["Redis"]


class Redis(Tool):
    name = "redis"
    title = "redis-benchmark"
    programs = ("redis-server", "redis-benchmark")
    install = "apt-get install redis-server redis-tools"
    versions: Mapping[str, Sequence[str]] = {"redis": ("redis-server", "--version")}
    tests: Mapping[str, Test] = {
        "GET": Test(64, "per_s", counted=True),
        "SET": Test(64, "per_s", counted=True),
    }
    port = 6379
    unix = True

    def serve(self, load: Load, host: Host) -> None:
        argv = ["redis-server", "--bind", host.address, "--port", str(self.port), "--save", ""]
        argv += ["--protected-mode", "no", "--unixsocket", str(self.unix_path(host))]
        host.start(argv, ports=[self.port])
        # What GET reads.
        host.run(self._command("set", load, Target(host.address, host.folder), 1))

    def command(self, load: Load, target: Target, amount: int) -> list[str]:
        return self._command(load.test.lower(), load, target, amount)

    def _command(self, test: str, load: Load, target: Target, amount: int) -> list[str]:
        where = ["-h", target.address, "-p", str(self.port)]
        if target.path:
            where = ["-s", str(target.path)]
        return [
            *("redis-benchmark", *where, "--csv", "-t", test, "-d", str(load.size)),
            *("-c", str(load.connections), "-n", str(amount)),
        ]

    def read(self, load: Load, output: str, amount: int) -> Outcome:
        rows = {row["test"]: row for row in csv.DictReader(output.splitlines()) if row.get("test")}
        try:
            row = rows[load.test]
            values = {
                "per_s": float(row["rps"]),
                "mean_us": float(row["avg_latency_ms"]) * 1e3,
                "p50_us": float(row["p50_latency_ms"]) * 1e3,
                "p99_us": float(row["p99_latency_ms"]) * 1e3,
            }
        except (KeyError, TypeError, ValueError):
            raise no_figures("redis-benchmark", output) from None
        return Outcome(values, amount * load.size, amount, raw=rows)
