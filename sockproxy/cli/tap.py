"""`sockproxy tap`: what accelerated connections carry, as a capture that Wireshark reads."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, BinaryIO

import click

from sockproxy.cli.ending import until_told
from sockproxy.cli.names import complete_name, select
from sockproxy.cli.output import tell
from sockproxy.cli.types import DURATION, SIZE
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.net.rules import Rule, parse_rule
from sockproxy.units import format_size

if TYPE_CHECKING:
    from sockproxy.tap.capture import Capture
    from sockproxy.tap.segment import Source

__all__ = ["tap"]

PAUSE = 0.02  # seconds between two looks
LOOK = 1.0  # seconds between two looks whether it is still attached
LOST = 1  # exit status
EPILOG = """\b
Examples:
  sockproxy tap web -w web.pcapng
  sockproxy tap web --filter 6379 --for 10s -w redis.pcapng
  sockproxy tap edge --filter 10.0.0.5/32 -w - | tshark -r - -q -z follow,tcp,ascii,0

\b
A RULE is a port, a range FIRST-LAST, or a network in CIDR, and matches either end.
"""


@click.command(epilog=EPILOG)
@click.argument("name", shell_complete=complete_name)
@click.option("--proxy", is_flag=True, help="The proxy NAME, where a bypass is called so as well.")
@click.option(
    "-w",
    "--write",
    "path",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Where to; '-' is stdout.",
)
@click.option(
    "--filter", "rules", multiple=True, metavar="RULE", help="Only connections that it matches."
)
@click.option(
    "--for", "span", type=DURATION, default="10m", show_default=True, help="End after that time."
)
@click.option(
    "--size", type=SIZE, default="64MiB", show_default=True, help="End when so much was sent."
)
@click.option(
    "--buffer",
    type=SIZE,
    default="16MiB",
    show_default=True,
    help="Memory for what was not written yet.",
)
def tap(
    name: str,
    proxy: bool,
    path: str,
    rules: tuple[str, ...],
    span: float,
    size: int,
    buffer: int,
) -> int:
    """Write what the sockets of the bypass or the proxy NAME send to FILE, as pcapng, until Ctrl-C,
    until NAME has gone, or until one of the bounds is reached.

    Of a bypass: tcpdump sees nothing of what goes past TCP. Here both are written, past TCP and by
    it, so that a stream is whole, each packet with a comment that says how it went. Headers of IP
    and TCP are made up; a packet is a message, or a part of one. From when a connection streams, or
    stays plain for another reason, tcpdump alone sees it. One tap at a time.

    Of a proxy: the packets of both sides of its connections, redirected or not, with their headers
    of TCP, but for options and checksums, and without those that carry nothing. What goes past the
    proxy is seen in the bypass that it goes by.

    What there was no memory for is counted, and the exit status is 1 then.
    """
    try:
        from sockproxy.tap.capture import Capture
    except ModuleNotFoundError:
        raise SockproxyError("tap needs dpkt", hint="pip install 'sockproxy[tap]'") from None
    chosen = [parse_rule(each, deny=False) for each in rules]
    source = _source(name, proxy)
    made = source(name, chosen, buffer, tell)
    with contextlib.closing(made), until_told() as is_told, _opened(path) as file:
        tell(f"writing what {name} sends to {'stdout' if path == '-' else path}")
        end = time.monotonic() + span
        is_there = _every(LOOK, made.is_there)

        def is_over() -> bool:
            if not is_there():
                tell(made.GONE)
                return True
            return is_told() or time.monotonic() >= end

        return _copy(made, Capture(file, time.time() - time.monotonic()), is_over, size)


def _source(
    name: str, proxy: bool
) -> Callable[[str, Collection[Rule], int, Callable[[str], None]], Source]:
    """What makes a tap on NAME."""
    from sockproxy.tap.bypass import BypassTap
    from sockproxy.tap.proxy import ProxyTap

    proxies, bypasses = select(name)
    if proxies and bypasses and not proxy:
        tell(f"a proxy is called {name}, too: --proxy taps that one")
    if proxies and (proxy or not bypasses):
        return ProxyTap
    if proxy:
        raise SockproxyError(f"no proxy named {name} is running")
    return BypassTap


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """The file, which its owner alone can read."""
    if path == "-":
        if sys.stdout.isatty():
            raise UsageError("stdout is a terminal", hint="write to a file, or to a pipe")
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as file:
            yield file
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"write {path}", errno=error.errno) from None
    with os.fdopen(fd, "wb") as file:
        yield file


def _every(seconds: float, look: Callable[[], bool]) -> Callable[[], bool]:
    """The same, which looks no more often, and answers what it saw last meanwhile."""
    due, seen = 0.0, True

    def looked() -> bool:
        nonlocal due, seen
        if (now := time.monotonic()) >= due:
            due, seen = now + seconds, look()
        return seen

    return looked


def _copy(made: Source, capture: Capture, is_over: Callable[[], bool], most: int) -> int:
    packets = written = 0
    over = False
    while not over:
        over = is_over()  # before: what was sent by then is written
        for piece in made.take(everything=over):
            capture.add(piece)
            packets += 1
            written += len(piece.data)
            if written >= most:
                over = True
                break
        capture.flush()
        if not over:
            time.sleep(PAUSE)
    lost = made.lost
    tell(f"{packets} packets, {format_size(written)}" + _lost(lost))
    return LOST if lost else 0


def _lost(count: int) -> str:
    return f"; {count} more were lost: use a larger --buffer, or a --filter" if count else ""
