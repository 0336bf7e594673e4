"""What a NAME on the command line means."""

from __future__ import annotations

import click

from sockproxy.controller import bypass
from sockproxy.controller.runtime import running
from sockproxy.errors import PermissionDenied

__all__ = ["select"]


def select(name: str | None) -> tuple[list[str], list[str]]:
    """The proxies and the bypasses that NAME means: all of both without one."""
    try:
        bypasses = bypass.names()
    except PermissionDenied as error:
        bypasses = []  # root's; what this user runs can be shown all the same
        click.echo(f"bypasses are not shown: {error}", err=True)
    if name is None:
        return running(), bypasses
    return ([], [name]) if name in bypasses else ([name], [])
