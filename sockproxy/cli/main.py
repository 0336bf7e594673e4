"""The command `sockproxy`: its subcommands, and how errors become exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from sockproxy.cli.on_demand import OnDemand
from sockproxy.cli.streams import drop_output, prepare
from sockproxy.errors import SockproxyError
from sockproxy.text import clean

__all__ = ["main"]

INTERRUPTED = 130
COMMANDS = {
    "proxy": "proxy.proxy",
    "check": "check.check",
    "reload": "reload.reload",
    "attach": "attach.attach",
    "detach": "attach.detach",
    "run": "run.run",
    "status": "status.status",
    "connections": "connections.connections",
    "top": "top.top",
    "events": "events.events",
    "tap": "tap.tap",
    "audit": "audit.audit",
    "metrics": "metrics.metrics",
    "agent": "agent.agent",
    "doctor": "doctor.doctor",
    "schema": "schema.schema",
    "bench": "bench.bench",
}
UNWRITABLE = (errno.ENOSPC, errno.EPIPE, errno.EBADF, errno.EIO, errno.EDQUOT)


@click.group(cls=OnDemand, where=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sockproxy")
def cli() -> None:
    """Accelerate TCP between sockets of this host with the kernel's sockmap.

    \b
    Exit status: 0 done; 1 what was asked for did not hold; 2 usage;
    3 no permission; 4 not supported by this kernel.
    """


def main() -> None:
    """Run the command line and exit."""
    # While modules were loading a Ctrl-C ended us on the spot; from here on it is Abort.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare()
    # Run as `python -m sockproxy` it would be one of Python's programs, to ps and to a bypass.
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("sockproxy")
    try:
        result = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        _end(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        _end(error.exit_code)
    except SockproxyError as error:
        _tell(str(error), error.log)
        _end(error.exit_code)
    except OSError as error:
        # Whatever a system call refuses that nobody expected: one line, and no traceback.
        doing = f"use {os.fsdecode(error.filename)}" if error.filename else "make a system call"
        if not error.filename and error.errno in UNWRITABLE:
            doing = "write the output"
        _tell(str(SockproxyError(doing, errno=error.errno)))
        _end(SockproxyError.exit_code)
    _end(result if isinstance(result, int) else 0)


def _tell(line: str, log: str | None = None) -> None:
    click.echo(f"sockproxy: {clean(line)}", err=True)
    if log:
        click.echo(log, err=True)


def _end(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except SockproxyError:
        drop_output()  # or Python would say so once more, with a status of its own
    sys.exit(code)
