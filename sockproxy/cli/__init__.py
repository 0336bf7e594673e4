"""The command line."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    # Until main.py has a say in it: Ctrl-C while modules are loading is not worth a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sockproxy.cli.main import main as run

    run()
