"""The load: one module for each program that makes it. See base.py for what they all do."""

from __future__ import annotations

from sockproxy.bench.load.base import Host, Load, Outcome, Target, Test, Tool
from sockproxy.bench.load.iperf3 import Iperf3
from sockproxy.bench.load.netperf import Netperf
from sockproxy.bench.load.pgbench import Pgbench
from sockproxy.bench.load.pingpong import Pingpong
from sockproxy.bench.load.redis import Redis
from sockproxy.bench.load.wrk import Wrk

__all__ = ["TOOLS", "Host", "Load", "Outcome", "Target", "Test", "Tool"]

TOOLS: dict[str, Tool] = {
    tool.name: tool for tool in (Netperf(), Iperf3(), Redis(), Wrk(), Pgbench(), Pingpong())
}
