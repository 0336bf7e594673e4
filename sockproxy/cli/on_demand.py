"""A group of commands that imports each one when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

__all__ = ["OnDemand"]


class OnDemand(click.Group):
    """No command pays for what only others import.

    where: name to "module.object", below sockproxy.cli.
    """

    def __init__(self, *args: Any, where: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._where = where

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._where)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._where:
            return None
        module, _, name = self._where[cmd_name].rpartition(".")
        found = getattr(import_module(f"sockproxy.cli.{module}"), name)
        assert isinstance(found, click.Command)
        return found
