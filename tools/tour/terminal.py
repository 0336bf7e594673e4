"""A command in a terminal of its own, and what its screen shows then, as HTML."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import termios
import time
from dataclasses import dataclass
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

__all__ = ["COLUMNS", "Shown", "as_html", "as_text", "lines_of", "run"]

COLUMNS, ROWS = 100, 60
PATIENCE = 60.0  # seconds for a command to end
# pyte calls colours as the first terminals did.
NAMES = {"default": "", "brown": "yellow"}
THEME = TerminalTheme(
    (22, 27, 34),
    (222, 227, 233),
    [
        *((72, 79, 88), (255, 123, 114), (86, 211, 100), (227, 179, 65)),
        *((121, 192, 255), (210, 168, 255), (86, 212, 221), (222, 227, 233)),
    ],
)


@dataclass(frozen=True)
class Shown:
    """What a terminal showed. status: with which the command ended."""

    command: str
    lines: list[Text]
    status: int

    @property
    def text(self) -> str:
        """Without colours."""
        return "\n".join(line.plain for line in self.lines)


def run(
    command: str, rows: int = ROWS, columns: int = COLUMNS, quit_after: float | None = None
) -> Shown:
    """Run what a shell understands. quit_after: seconds, after which its screen is looked at and
    "q" is typed; else the screen is that of its end."""
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen(
        ["bash", "-c", command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    try:
        lines = None
        if quit_after is not None:
            _read(master, stream, quit_after)
            lines = lines_of(screen)
            os.write(master, b"q")
        _read(master, stream, PATIENCE)
        return Shown(command, lines or lines_of(screen), process.wait(PATIENCE))
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _read(master: int, stream: Any, patience: float) -> None:
    """Feed what comes, until it ends or so many seconds have passed."""
    end = time.monotonic() + patience
    while (left := end - time.monotonic()) > 0:
        if not select.select([master], [], [], left)[0]:
            return
        try:
            data = os.read(master, 65536)
        except OSError:  # nobody has the other end any more
            return
        if not data:
            return
        stream.feed(data)


def lines_of(screen: Any) -> list[Text]:
    """The lines of a screen of pyte's, up to the last that has something."""
    lines = [_line(screen.buffer[number], screen.columns) for number in range(screen.lines)]
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _line(row: Any, columns: int) -> Text:
    line = Text()
    for place in range(columns):
        each = row[place]
        line.append(each.data, _style(each))
    line.rstrip()
    return line


def _style(each: Any) -> Style:
    return Style(
        color=_colour(each.fg),
        bgcolor=_colour(each.bg),
        bold=each.bold,
        italic=each.italics,
        underline=each.underscore,
        reverse=each.reverse,
    )


def _colour(name: str) -> str | None:
    """rich's name of one of pyte's colours."""
    name = NAMES.get(name, name)
    if len(name) == 6 and all(each in "0123456789abcdef" for each in name):
        return f"#{name}"
    return name.replace("bright", "bright_") or None


def as_html(shown: list[Shown], columns: int = COLUMNS) -> str:
    """A page of these, one after the other, each beneath its prompt."""
    console = Console(record=True, file=io.StringIO(), width=columns + 2, color_system="truecolor")
    for number, each in enumerate(shown):
        if number:
            console.print()
        prompt = f"# {each.command}"
        if len(prompt) > columns:
            prompt = prompt.replace(" | ", " \\\n    | ")
        console.print(Text(prompt, Style(bold=True, color="bright_white")))
        for line in each.lines:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
    return console.export_html(theme=THEME, inline_styles=True, code_format=FORMAT)


def as_text(shown: Shown) -> str:
    """For a block of a README."""
    return f"# {shown.command}\n{shown.text}"


FORMAT = """<!DOCTYPE html><meta charset="utf-8"><style>
body {{ margin: 0; background: {background}; color: {foreground}; }}
pre {{ margin: 0; padding: 18px 22px; font: 14px/1.42 "DejaVu Sans Mono", monospace; }}
</style><pre>{code}</pre>"""
