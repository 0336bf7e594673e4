"""TODO"""

from __future__ import annotations

import click


@click.command()
def doctor() -> int:
    return 0
