"""The command `sockproxy`: its subcommands, and how errors become exit codes."""

from __future__ import annotations

import sys

import click

from sockproxy.cli.attach import attach, detach
from sockproxy.cli.bench import bench
from sockproxy.cli.connections import connections
from sockproxy.cli.doctor import doctor
from sockproxy.cli.proxy import proxy
from sockproxy.cli.run import run
from sockproxy.cli.status import status
from sockproxy.errors import SockproxyError
from sockproxy.text import clean

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
    try:
        result = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SockproxyError as error:
        click.echo(f"sockproxy: {clean(str(error))}", err=True)
        if error.log:
            click.echo(error.log, err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; nobody to tell
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)
