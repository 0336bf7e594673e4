"""The little system: a shop's Redis and web server, a proxy before them, and their clients."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from tools.tour.place import HOME, group
from tools.tour.programs import in_group, listens, running

__all__ = ["INSIDE", "METRICS", "ORDERS", "clients", "order", "servers"]

INSIDE, OUTSIDE = "shop", "guests"
REDIS, WEB, METRICS = 6379, 8000, 9478
EDGE_REDIS, EDGE_WEB = 6380, 8080
PAGE = 64 << 20  # bytes of what guests download
ORDERS = "127.0.0.5"  # where Redis is reached as well
PAUSE = "0.004"  # seconds between two requests of a client of Redis

EDGE = f"""\
[[service]]
name = "db"
listen = "127.0.0.1:{EDGE_REDIS}"
upstream = "127.0.0.1:{REDIS}"

[[service]]
name = "web"
listen = "127.0.0.1:{EDGE_WEB}"
upstream = "127.0.0.1:{WEB}"
"""

NGINX = f"""\
daemon off;
pid {HOME}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {HOME}/nginx;
  proxy_temp_path {HOME}/nginx;
  fastcgi_temp_path {HOME}/nginx;
  uwsgi_temp_path {HOME}/nginx;
  scgi_temp_path {HOME}/nginx;
  server {{ listen 127.0.0.1:{WEB}; root {HOME}/www; limit_rate 30k; }}
}}
"""


@contextlib.contextmanager
def servers() -> Iterator[None]:
    """Redis and nginx in the shop's cgroup, the proxy, and what tells Prometheus of it all."""
    group(INSIDE)
    group(OUTSIDE)
    (HOME / "www").mkdir()
    (HOME / "nginx").mkdir()
    (HOME / "www/index.html").write_text("<p>Flowers, by the dozen.</p>\n" * 40)
    (HOME / "www/catalogue.bin").write_bytes(bytes(PAGE))
    (HOME / "edge.toml").write_text(EDGE)
    (HOME / "nginx.conf").write_text(NGINX)
    redis = ("redis-server", "--bind", "127.0.0.1", ORDERS, "--port", str(REDIS), "--save", "")
    nginx = ("nginx", "-e", "stderr", "-c", str(HOME / "nginx.conf"))
    with contextlib.ExitStack() as stack:
        _start(stack, "redis", in_group(INSIDE, *redis), REDIS)
        _start(stack, "nginx", in_group(INSIDE, *nginx), WEB)
        _start(stack, "edge", ["sockproxy", "proxy", "--config", "edge.toml"], EDGE_WEB)
        _start(stack, "metrics", ["sockproxy", "metrics", "--listen", f":{METRICS}"], METRICS)
        stack.enter_context(running(["sockproxy", "audit", "--record"], HOME / "audit.log"))
        yield


def _start(stack: contextlib.ExitStack, name: str, command: list[str], port: int) -> None:
    log = HOME / f"{name}.log"
    listens(port, stack.enter_context(running(command, log)), log)


@contextlib.contextmanager
def clients() -> Iterator[list[subprocess.Popen[bytes]]]:
    """The shop's own, of Redis and by the proxy; and guests, who come by the proxy alone."""
    counts = ("redis-cli", "-r", "-1", "-i", PAUSE, "incr", "visits")
    looks = ("redis-cli", "-p", str(EDGE_REDIS), "-r", "-1", "-i", PAUSE, "get", "visits")
    site = f"http://127.0.0.1:{EDGE_WEB}"
    loads = ("curl", "--silent", "--output", "/dev/null", f"{site}/catalogue.bin")
    visits = f"while sleep 0.3; do curl --silent --output /dev/null {site}/; done"
    commands = (
        in_group(INSIDE, *counts),
        in_group(INSIDE, *counts),
        in_group(INSIDE, *looks),
        in_group(OUTSIDE, *looks),
        in_group(OUTSIDE, *loads),
        in_group(OUTSIDE, "sh", "-c", visits),
    )
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running(each)) for each in commands]


def order() -> list[str]:
    """A customer's orders, one after the other, at an address of their own."""
    words = ("-r", "8", "-i", "0.1", "rpush", "orders", "12 roses")
    return in_group(INSIDE, "redis-cli", "-h", ORDERS, *words)
