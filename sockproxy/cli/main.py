"""The command `sockproxy`: its subcommands, and how errors become exit codes."""

from __future__ import annotations

import signal
import sys

import click

from sockproxy.cli.on_demand import OnDemand
from sockproxy.errors import SockproxyError
from sockproxy.text import clean

__all__ = ["main"]

INTERRUPTED = 130
COMMANDS = {
    "proxy": "proxy.proxy",
    "attach": "attach.attach",
    "detach": "attach.detach",
    "run": "run.run",
    "status": "status.status",
    "connections": "connections.connections",
    "doctor": "doctor.doctor",
    "bench": "bench.bench",
}


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
