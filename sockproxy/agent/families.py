"""What the agent counts, for Prometheus. No label is of a pod's making."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sockproxy.agent.agent import State
from sockproxy.agent.api import ApiState
from sockproxy.agent.report import counted

__all__ = ["AgentCollector"]


class AgentCollector(Collector):
    """Of the agent whose state this is."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked when it is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """How it stands now."""
        state = self._state()
        server = GaugeMetricFamily(
            "sockproxy_agent_api_server",
            "1 for how it stands with it.",
            labels=["state"],
        )
        for each in ApiState:
            server.add_metric([each], state.followed.state is each)
        yield server
        pods = GaugeMetricFamily(
            "sockproxy_agent_pods",
            "Pods with an annotation, by what they have.",
            labels=["reason"],
        )
        for reason, count in counted(state.conditions).items():
            pods.add_metric([reason], count)
        yield pods
        yield GaugeMetricFamily("sockproxy_agent_bypasses", "Bypasses for pods.", state.names)
        yield GaugeMetricFamily(
            "sockproxy_agent_failing", "Bypasses that could not be changed.", state.failed
        )
        yield CounterMetricFamily(
            "sockproxy_agent_steps", "Times that what is there was compared.", state.steps
        )
