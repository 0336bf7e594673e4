"""Makes a man page of each command, from what --help shows: python -m tools.man_pages FOLDER."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from sockproxy import __version__
from sockproxy.cli.main import cli

AS_IT_IS = "\b"  # begins a paragraph that click does not wrap
EXAMPLES = "Examples:"


def main() -> None:
    """Write all pages into the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.man_pages FOLDER")
    write_pages(Path(sys.argv[1]))


def write_pages(folder: Path) -> None:
    """A file for each command, in a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for context in contexts(click.Context(cli, info_name="sockproxy")):
        (folder / f"{title(context)}.1").write_text(page(context), encoding="utf-8")


def contexts(context: click.Context) -> Iterator[click.Context]:
    """That of a command, and of those below it."""
    yield context
    for name, command in commands(context):
        yield from contexts(click.Context(command, info_name=name, parent=context))


def commands(context: click.Context) -> list[tuple[str, click.Command]]:
    """Those of a group, by name."""
    group = context.command
    if not isinstance(group, click.Group):
        return []
    found = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return [(name, each) for name, each in found if each is not None and not each.hidden]


def title(context: click.Context) -> str:
    """What the page of a command is called: sockproxy-bench-run."""
    return context.command_path.replace(" ", "-")


def page(context: click.Context) -> str:
    """The page of a command, in the macros of man(7)."""
    command = context.command
    help_text = inspect.cleandoc(command.help or "")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH {escaped(title(context).upper())} 1 "" "sockproxy {__version__}" "User Commands"',
        ".SH NAME",
        rf"{escaped(title(context))} \- {escaped(first_sentence(help_text))}",
        ".SH SYNOPSIS",
        rf"\fB{escaped(context.command_path)}\fR {escaped(usage)}",
        ".SH DESCRIPTION",
        *paragraphs(help_text),
        ".SH OPTIONS",
    ]
    for parameter in command.get_params(context):
        if (record := parameter.get_help_record(context)) is not None:
            lines += [".TP", rf"\fB{escaped(record[0])}\fR", escaped(record[1])]
    below = commands(context)
    if below:
        lines.append(".SH COMMANDS")
    for name, each in below:
        about = first_sentence(inspect.cleandoc(each.help or ""))
        lines += [".TP", rf"\fB{escaped(title(context))}\-{escaped(name)}\fR(1)", escaped(about)]
    if command.epilog:
        lines += epilog(inspect.cleandoc(command.epilog))
    if context.parent is not None:
        lines += [".SH SEE ALSO", rf"\fB{escaped(title(context.parent))}\fR(1)"]
    return "\n".join(lines) + "\n"


def first_sentence(text: str) -> str:
    """Of a help text, without its full stop."""
    return " ".join(text.split("\n\n")[0].split()).split(". ")[0].removesuffix(".")


def paragraphs(text: str) -> Iterator[str]:
    """Of a help text or an epilog."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        first, _, rest = paragraph.partition("\n")
        if first == AS_IT_IS:
            yield from (".nf", *map(escaped, rest.splitlines()), ".fi")
        else:
            yield from map(escaped, paragraph.splitlines())


def epilog(text: str) -> Iterator[str]:
    """Examples have a section of their own."""
    body = text.removeprefix(f"{AS_IT_IS}\n")
    if body.startswith(EXAMPLES):
        yield ".SH EXAMPLES"
        text = f"{AS_IT_IS}\n" + body.removeprefix(EXAMPLES).lstrip("\n")
    else:
        yield ".SH NOTES"
    yield from paragraphs(text)


def escaped(line: str) -> str:
    """Text that roff shows as it is: neither a request at a line's start, nor a hyphen for '-'."""
    line = line.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    line = line.replace("`", r"\(ga").replace("^", r"\(ha").replace("~", r"\(ti")
    return rf"\&{line}" if line.startswith(".") else line


if __name__ == "__main__":
    main()
