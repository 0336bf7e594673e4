"""`sockproxy agent`: the bypasses that the pods of a Kubernetes node ask for."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from sockproxy.bypass.leftovers import collect
from sockproxy.cgroup.mount import find_mount
from sockproxy.cli.attach import RULES, bypass_options, read_options
from sockproxy.cli.metrics import host_registry, serving
from sockproxy.cli.output import tell
from sockproxy.cli.types import ADDRESS, DURATION
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.net.address import Address
from sockproxy.net.systemd import notify

__all__ = ["agent"]

NOT_DETACHED = 1
EPILOG = f"""\b
Examples:
  sockproxy agent --node worker-1 --kubeconfig ~/.kube/config
  sockproxy agent --deny 443 --blocking-readers     # in a DaemonSet, which sets NODE_NAME

{RULES}"""


@click.command(epilog=EPILOG)
@click.option("--node", envvar="NODE_NAME", metavar="NAME", help="This node, or $NODE_NAME.")
@click.option("--kubeconfig", metavar="FILE", help="Outside of a pod: how to reach the API server.")
@click.option(
    "--listen",
    type=ADDRESS,
    default="127.0.0.1:9479",
    show_default=True,
    metavar="ADDR:PORT",
    help="Where Prometheus asks.",
)
@click.option(
    "--max-names",
    type=click.IntRange(1, 1000),
    default=16,
    show_default=True,
    help="Bypasses at once; each takes kernel memory for --max-connections.",
)
@click.option(
    "--cgroup-root",
    type=click.Path(path_type=Path),
    help="Below which the kubelet has its cgroups, if not at the root of cgroup v2.",
)
@click.option(
    "--resync",
    type=DURATION,
    default="30s",
    show_default=True,
    help="Look at all again so often, though nothing was heard of.",
)
@click.option("--detach-on-exit", is_flag=True, help="Detach them all on SIGTERM and Ctrl-C.")
@bypass_options
def agent(
    node: str | None,
    kubeconfig: str | None,
    listen: Address,
    max_names: int,
    cgroup_root: Path | None,
    resync: float,
    detach_on_exit: bool,
    **given: object,
) -> int:
    """Give the pods of this Kubernetes node the bypasses that they ask for.

    Pods with the same annotation `sockproxy.io/bypass: NAME` are in one bypass, k8s-NAME, with the
    options given here. What is attached stays when this ends, and the next agent goes on with it.

    Where the API server cannot be reached or refuses, pods keep what they have; where a bypass
    cannot be had, their connections stay plain TCP. A log line, an event on the pod and the
    metrics say so.
    """
    if not node:
        raise UsageError("the node has no name", hint="give --node, or set NODE_NAME")
    options = read_options(**given)  # type: ignore[arg-type]  # as click has parsed them
    options.check()
    registry = host_registry()
    try:
        from sockproxy.agent.agent import Agent
        from sockproxy.agent.api import KubernetesCluster
        from sockproxy.agent.bypasses import NodeBypasses
        from sockproxy.agent.families import AgentCollector
        from sockproxy.agent.follow import Follower
        from sockproxy.agent.reconcile import Limits, Reconciler
        from sockproxy.agent.report import Report
    except ModuleNotFoundError:
        hint = "pip install 'sockproxy[kubernetes]'"
        raise SockproxyError("the agent needs the client of Kubernetes", hint=hint) from None
    collect()
    cluster, changed = KubernetesCluster(node, kubeconfig), threading.Event()
    limits = Limits(max_names, cgroup_root or find_mount())
    reconciler = Reconciler(NodeBypasses(options, tell), limits)
    follower, report = Follower(cluster, changed), Report(cluster, tell)
    running = Agent(follower, reconciler, report, changed, resync)
    registry.register(AgentCollector(lambda: running.state))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.stop())
    with serving(registry, listen):
        running.run(lambda: notify("READY=1"))
        notify("STOPPING=1")
        failed = reconciler.detach_all() if detach_on_exit else []
    for line in failed:
        tell(line)
    return NOT_DETACHED if failed else 0
