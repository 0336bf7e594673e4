"""`sockproxy proxy`: run an accelerated proxy in the foreground."""

from __future__ import annotations

import logging
import signal
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click
from click.core import ParameterSource

from sockproxy.cli.logs import Log, logging_to_stderr
from sockproxy.cli.proxy_options import proxy_options, read_options
from sockproxy.errors import UsageError
from sockproxy.net.systemd import notify, watchdog_seconds
from sockproxy.proxy.config import Configuration, read_configuration
from sockproxy.proxy.control import Control
from sockproxy.proxy.options import LOG_FORMATS, LOG_LEVELS
from sockproxy.proxy.proxy import Proxy
from sockproxy.proxy.reload import Reloader
from sockproxy.proxy.takeover import retire, take_sockets
from sockproxy.rundir import take_name

__all__ = ["proxy"]

LOG = logging.getLogger("sockproxy.proxy")

OF_A_UNIX_SOCKET = "relaying in user space: a Unix socket"
BESIDE_A_FILE = {"config", "take_over", "verbose", "log_level", "log_format"}
EPILOG = """\b
Examples:
  sockproxy proxy --listen 127.0.0.1:8080 --upstream 127.0.0.1:9000
  sockproxy proxy --listen [::]:80 --upstream 10.0.0.2:80 --upstream 10.0.0.3:80 -v
  sockproxy proxy --listen 127.0.0.1:15001 --upstream original-dst --mark 80
  sockproxy proxy --listen unix:/run/app.sock --upstream 10.0.0.2:80
  sockproxy proxy --config /etc/sockproxy/edge.toml

\b
With original-dst, redirect to the proxy first, but not what has its own mark:
  iptables -t nat -A OUTPUT -p tcp -m mark --mark 80 -j RETURN
  iptables -t nat -A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 15001
or
  nft add table ip sidecar
  nft 'add chain ip sidecar out { type nat hook output priority -100; }'
  nft add rule ip sidecar out meta mark 80 return
  nft add rule ip sidecar out tcp dport 80 redirect to :15001
"""


@click.command(epilog=EPILOG)
@proxy_options
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read all of this from a TOML file, which may have many services; see 'check --help'.",
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Have the sockets, and the name, of the proxy that has it now, which then drains.",
)
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    default="info",
    show_default=True,
    help="What is told; debug has a line for each connection.",
)
@click.option("-v", "--verbose", is_flag=True, help="The same as --log-level debug.")
@click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    default="auto",
    show_default=True,
    help="Lines of text, JSON, or what the journal reads; auto finds out if that reads them.",
)
@click.pass_context
def proxy(
    ctx: click.Context,
    /,
    config: Path | None,
    take_over: bool,
    log_level: str,
    verbose: bool,
    log_format: str,
    **asked: Any,
) -> int:
    """Run a TCP proxy whose bytes stay in the kernel.

    SIGTERM or Ctrl-C stops accepting and lets connections finish within --grace; a
    second one ends them now. The exit status is 0 then; 128 and the signal's number for one
    that comes before anything was done. SIGHUP has a --config read again.

    What cannot be accelerated is relayed with splice(2), and 'sockproxy connections' says
    why; so is all, on a kernel where 'sockproxy doctor' finds the splice off. Where nobody has
    found out since the boot it relays until that is done, in the background, and then
    accelerates the connections that come.

    Where the client and the upstream are both in a bypass ('sockproxy attach') the messages of a
    conversation go from one to the other, past the proxy, which still counts, limits and ends it.
    """
    if config is not None:
        _check_alone(ctx)

        def chosen(found: Configuration) -> tuple[str, str]:
            level = log_level if _is_given(ctx, "log_level") else found.log_level
            form = log_format if _is_given(ctx, "log_format") else found.log_format
            return form, "debug" if verbose else level

        found = read_configuration(config)
        with logging_to_stderr(*chosen(found)) as log:
            served = Proxy(found.options)
            read = partial(read_configuration, config)
            served.reloader = Reloader(served, read, lambda found: log.change(*chosen(found)))
            _run(served, log, take_over)
        return 0
    if take_over and asked["name"] is None:
        raise UsageError("--take-over without --name", hint="say whose sockets it takes")
    options = read_options(**asked)
    with logging_to_stderr(log_format, "debug" if verbose else log_level) as log:
        _run(Proxy(options), log, take_over)
    return 0


def _is_given(ctx: click.Context, option: str) -> bool:
    return ctx.get_parameter_source(option) is ParameterSource.COMMANDLINE


def _check_alone(ctx: click.Context) -> None:
    """What a file says, no option says as well."""
    others = [each for each in ctx.params if each not in BESIDE_A_FILE and _is_given(ctx, each)]
    if others:
        option = "--" + others[0].replace("_", "-")
        raise UsageError(f"--config and {option}", hint="write it into the file")


def _run(served: Proxy, log: Log, take_over: bool) -> None:
    def on_hangup(_number: int, _frame: FrameType | None) -> None:
        if served.reloader is None:
            log.write(logging.INFO, "SIGHUP does nothing: it was not started with --config")
        elif not served.reloader.begin():
            log.write(logging.WARNING, "not reloaded: there may be no more threads now")

    def on_stop(_number: int, _frame: FrameType | None) -> None:
        notify("STOPPING=1")
        served.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_stop)
    signal.signal(signal.SIGHUP, on_hangup)
    name = served.options.name
    control = Control(served)
    try:
        if take_over:
            served.open(taken=take_sockets(name))
            if served.is_stopped:
                return  # the old one stays
            control.hold(retire(name))
            served.accept_anew()
            control.open()
        else:
            control.hold(take_name(name))
            served.open(control.open)  # who can connect to it can ask it as well
        path = _path(served)
        for address in served.listening:
            how = OF_A_UNIX_SOCKET if address.is_unix else path
            LOG.info(f"{served.options.name}: listening on {address}, {how}")
        notify("READY=1", f"STATUS={path}")
        if seconds := watchdog_seconds():
            served.watch_over(seconds, lambda: notify("WATCHDOG=1", f"STATUS={_path(served)}"))
        served.run()
    finally:
        control.close()
        served.close()


def _path(served: Proxy) -> str:
    """What becomes of the connections that come now, for people."""
    if served.worker.kernel is not None:
        return "accelerated"
    return "relaying in user space" + (
        f" for now: {served.worker.why_not}" if served.may_accelerate else ""
    )
