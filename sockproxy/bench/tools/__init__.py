"""The load: one module for each program that makes it."""

from __future__ import annotations

from sockproxy.bench.tools.base import Host, Load, Outcome, Target, Test, Tool
from sockproxy.bench.tools.iperf3 import Iperf3
from sockproxy.bench.tools.netperf import Netperf
from sockproxy.bench.tools.pgbench import Pgbench
from sockproxy.bench.tools.pingpong import Pingpong
from sockproxy.bench.tools.redis import Redis
from sockproxy.bench.tools.wrk import Wrk

__all__ = ["TOOLS", "Host", "Load", "Outcome", "Target", "Test", "Tool"]

TOOLS: dict[str, Tool] = {
    tool.name: tool for tool in (Netperf(), Iperf3(), Redis(), Wrk(), Pgbench(), Pingpong())
}
