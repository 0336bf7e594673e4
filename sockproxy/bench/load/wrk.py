"""wrk against an nginx that serves one file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sockproxy.bench.load.base import Host, Load, Outcome, Target, Test, Tool, no_figures
from sockproxy.errors import SockproxyError
from sockproxy.units import parse_duration, parse_size

__all__ = ["Wrk"]

FILE = "file"
CLOSE = "GET-close"  # each request has a connection of its own
CONFIGURATION = """
worker_processes 1; pid nginx.pid; daemon off; error_log stderr;
events {{ worker_connections 2048; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{ listen {address}:{port} backlog=1024; root {folder}; }}
}}
"""
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
LATENCY = re.compile(r"Latency\s+([\d.]+\w+)")
PERCENTILE = re.compile(r"\b(50|99)%\s+([\d.]+)(us|ms|s)")
TOTALS = re.compile(r"(\d+) requests in [\d.]+\w+, ([\d.]+[KMGT]?B) read")
FAILED = re.compile(r"Socket errors: (.+)|Non-2xx or 3xx responses: (\d+)")
ROUNDING = 0.02  # of wrk's "bytes read", which has three digits


class Wrk(Tool):
    name = "wrk"
    title = "wrk to nginx"
    programs = ("wrk", "nginx")
    install = "apt-get install wrk nginx"
    versions: Mapping[str, Sequence[str]] = {
        "wrk": ("wrk", "-v"),
        "nginx": ("nginx", "-v"),
    }
    tests: Mapping[str, Test] = {
        "GET": Test(1 << 10, "per_s"),
        CLOSE: Test(1 << 10, "per_s"),
    }
    port = 8080

    def serve(self, load: Load, host: Host) -> None:
        (host.folder / FILE).write_bytes(bytes(load.size))
        configuration = host.folder / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(address=host.address, port=self.port, folder=host.folder)
        )
        argv = ["nginx", "-p", str(host.folder), "-c", str(configuration)]
        host.start(argv, ports=[self.port])

    def command(self, load: Load, target: Target, amount: int) -> list[str]:
        header = ("-H", "Connection: close") if load.test == CLOSE else ()
        return [
            *("wrk", "-t", "1", "-c", str(load.connections), "-d", f"{amount}s", "--latency"),
            *header,
            f"http://{target.address}:{self.port}/{FILE}",
        ]

    def read(self, load: Load, output: str, amount: int) -> Outcome:
        if failed := FAILED.search(output):
            raise SockproxyError(f"wrk: {failed[0]}")
        rate, mean, totals = (each.search(output) for each in (RATE, LATENCY, TOTALS))
        percentiles = {each[1]: each[2] + each[3] for each in PERCENTILE.finditer(output)}
        if rate is None or mean is None or totals is None or len(percentiles) < 2:
            raise no_figures("wrk", output)
        done, read = int(totals[1]), parse_size(totals[2])
        if read < done * load.size * (1 - ROUNDING):
            raise SockproxyError(f"wrk: {done} answers of {load.size} bytes, but {read} bytes read")
        values = {
            "per_s": float(rate[1]),
            "mean_us": _microseconds(mean[1]),
            "p50_us": _microseconds(percentiles["50"]),
            "p99_us": _microseconds(percentiles["99"]),
        }
        return Outcome(
            values, done * load.size, done, ("no error, and every answer whole",), raw=output
        )


def _microseconds(text: str) -> float:
    """Of wrk's "85.00us", "1.20ms", "2.00s"."""
    if text.endswith("us"):
        return float(text[:-2])
    return parse_duration(text) * 1e6
