"""The command `sockproxy`: its subcommands, and how errors become exit codes."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from sockproxy.cli.attach import attach, detach
from sockproxy.cli.bench import bench
from sockproxy.cli.connections import connections
from sockproxy.cli.doctor import doctor
from sockproxy.cli.proxy import proxy
from sockproxy.cli.run import run
from sockproxy.cli.status import status
from sockproxy.cli.streams import drop_output, prepare
from sockproxy.errors import SockproxyError

__all__ = ["main"]

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sockproxy")
def cli() -> None:
    """Accelerate TCP between sockets of this host with the kernel's sockmap.

    \b
    Exit status: 0 done; 1 what was asked for did not hold; 2 usage;
    3 no permission; 4 not supported by this kernel.
    """


for command in (proxy, attach, detach, run, status, connections, doctor, bench):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit."""
    prepare()
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
        about = f" {os.fsdecode(error.filename)}" if error.filename else ""
        _tell(str(SockproxyError(f"use{about}" if about else "ask the system", errno=error.errno)))
        _end(SockproxyError.exit_code)
    _end(result if isinstance(result, int) else 0)


def _tell(line: str, log: str | None = None) -> None:
    click.echo(f"sockproxy: {line}", err=True)
    if log:
        click.echo(log, err=True)


def _end(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except SockproxyError:
        drop_output()  # or Python would say so once more, with a status of its own
    sys.exit(code)
