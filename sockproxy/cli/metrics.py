"""`sockproxy metrics`: what runs here, for Prometheus."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from sockproxy.cli.output import tell
from sockproxy.cli.types import ADDRESS
from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address
from sockproxy.net.systemd import notify

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["host_registry", "metrics", "serving"]

EPILOG = """\b
Examples:
  sockproxy metrics --listen 127.0.0.1:9478
  sockproxy metrics --once
  curl -s http://127.0.0.1:9478/metrics | promtool check metrics
"""


@click.command(epilog=EPILOG)
@click.option(
    "--listen",
    type=ADDRESS,
    default="127.0.0.1:9478",
    show_default=True,
    metavar="ADDR:PORT",
    help="Where Prometheus asks.",
)
@click.option("--once", is_flag=True, help="Print them once, and end.")
def metrics(listen: Address, once: bool) -> int:
    """Show Prometheus what all proxies and bypasses of this host count.

    They are asked when somebody scrapes, and not meanwhile. As root it shows what everybody runs,
    else what the user runs.
    """
    registry = host_registry()
    if once:
        from prometheus_client import generate_latest

        click.echo(generate_latest(registry).decode(), nl=False)
        return 0
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with serving(registry, listen):
        notify("READY=1")
        stopped.wait()
        notify("STOPPING=1")
    return 0


def host_registry() -> CollectorRegistry:
    """What all proxies and bypasses count. Raises SockproxyError without the library."""
    try:
        from prometheus_client import CollectorRegistry

        from sockproxy.metrics.collector import HostCollector
    except ModuleNotFoundError:
        raise SockproxyError(
            "metrics need prometheus_client", hint="pip install 'sockproxy[metrics]'"
        ) from None
    registry = CollectorRegistry()
    registry.register(HostCollector())
    return registry


@contextlib.contextmanager
def serving(registry: CollectorRegistry, listen: Address) -> Iterator[None]:
    """Answer who scrapes, for the length of a `with`. Raises SockproxyError."""
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(listen.port, listen.host, registry)
    except OSError as error:
        hint = "choose another --listen"
        raise SockproxyError(f"listen on {listen}", errno=error.errno, hint=hint) from None
    where = Address(listen.family, listen.host, server.server_port)
    tell(f"metrics: http://{where}/metrics")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
