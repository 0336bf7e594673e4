"""Option types: sizes, durations and addresses, with one clear line for a bad one."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from sockproxy.errors import UsageError
from sockproxy.net.address import parse_address
from sockproxy.net.networks import parse_network
from sockproxy.net.systemd import parse_listen
from sockproxy.proxy.options import MOST_MARK
from sockproxy.units import parse_duration, parse_rate, parse_size

__all__ = ["ADDRESS", "DURATION", "LISTEN", "MARK", "NETWORK", "RATE", "SIZE", "Parsed"]


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2
    """An option whose text one of our parsers turns into a value."""

    def __init__(self, name: str, parse: Any) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


def _mark(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError:
        mark = 0
    if not 0 < mark <= MOST_MARK:
        raise UsageError(f"mark {text!r}", hint="write a number from 1 to 0xffffffff")
    return mark


ADDRESS = Parsed("addr:port", partial(parse_address, passive=True))
SIZE = Parsed("size", parse_size)
DURATION = Parsed("duration", parse_duration)
LISTEN = Parsed("addr:port", parse_listen)
MARK = Parsed("mark", _mark)
NETWORK = Parsed("network", parse_network)
RATE = Parsed("rate", parse_rate)
