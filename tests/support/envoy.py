"""Envoy as a TCP proxy."""

from __future__ import annotations

import contextlib
import json
import socket

from tests.support.proxy import started
from tests.support.servers import ENVOY, free_port

__all__ = ["ENVOY", "OPTIONS", "config", "listens", "running_envoy"]

OPTIONS = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")


def listens(port):
    """Whether somebody does at that port."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def config(port, upstream):
    """A TCP proxy from `port` to `upstream`."""

    def address(host, number):
        return {"socket_address": {"address": host, "port_value": number}}

    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "sidecar",
        "cluster": "upstream",
    }
    chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
    endpoint = {"endpoint": {"address": address(*upstream)}}
    return json.dumps(
        {
            "static_resources": {
                "listeners": [{"address": address("0.0.0.0", port), "filter_chains": [chain]}],
                "clusters": [
                    {
                        "name": "upstream",
                        "connect_timeout": "5s",
                        "load_assignment": {
                            "cluster_name": "upstream",
                            "endpoints": [{"lb_endpoints": [endpoint]}],
                        },
                    }
                ],
            }
        }
    )


@contextlib.contextmanager
def running_envoy(listener):
    """One in front of a listener; (its process, its address)."""
    address = "127.0.0.1", free_port()
    argv = [ENVOY, *OPTIONS, "--config-yaml", config(address[1], listener.getsockname())]
    with started(*argv, ready=lambda: listens(address[1])) as process:
        # It opens its own when it has accepted: the first ones were to see whether it listens.
        with contextlib.suppress(TimeoutError):
            before, _ = listener.gettimeout(), listener.settimeout(0.5)
            while True:
                listener.accept()[0].close()
        listener.settimeout(before)
        yield process, address
