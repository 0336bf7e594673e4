"""The report as Markdown with GitHub's tables. Needs nothing but Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from sockproxy.bench.report.parts import Cell, Program, Report, Section, Table
from sockproxy.bench.report.view import build
from sockproxy.bench.result.document import Document

__all__ = ["render"]

# What would be markup. An underscore inside a word is none: TCP_RR stays readable.
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$]|(?<![^\W_])_|_(?![^\W_])")
_OPENING = re.compile(r"^(\d+)([.)])(?=\s|$)|^([#+=-])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def render(document: Document) -> str:
    """All that the page has, but for the plots."""
    return "\n".join(_report(build(document))).rstrip() + "\n"


def _report(report: Report) -> Iterator[str]:
    yield from (f"# {_text(report.title)}", "", f"{_text(report.subtitle)}.", "")
    if report.warnings:
        yield from ("**Warnings**", "")
        yield from _bullets(_line(warning) for warning in report.warnings)
    for question in report.questions:
        yield from (f"## {_text(question.title)}", "", _text(" ".join(question.answer)), "")
    yield from ("## All cases", "")
    for matrix in report.matrices:
        yield from _rendered(matrix)
    if not report.matrices:
        yield from ("No system and one to compare it with were both measured.", "")
    yield from ("## Machine and method", "")
    yield from _pairs((*report.machine, *report.method))
    for section in report.sections:
        yield from _section(section)
    if report.programs:
        yield from ("## Systems", "")
        yield from _programs(report.programs)
    yield from ("## How to read it", "")
    yield from _pairs(report.reading)
    yield from ("## Settings, and how to repeat it", "")
    yield from ("As root, for the same order of turns:", "", _block(report.reproduce), "")
    if report.settings:
        rows = [(_text(name), _text(value)) for name, value in report.settings]
        yield from _table(("Setting", "Value"), rows, "")
    for program in report.programs:
        if program.config:
            yield from (f"Configuration of {_text(program.title)}:", "")
            yield from (_block(program.config), "")
    yield report.footer


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {_text(section.title)}", "")
    yield from _pairs(section.facts)
    if section.table:
        yield from _rendered(section.table)
    else:
        yield from ("Nothing was measured here.", "")
    if section.notes:
        yield from _bullets(_line(note) for note in section.notes)


def _programs(programs: Sequence[Program]) -> Iterator[str]:
    heads = ("System", "What it is", "Command line", "Version")
    rows = []
    for program in programs:
        about = [program.about]
        if program.why_not:
            about.append(f"not accelerated: {program.why_not}")
        rows.append(
            (
                _text(program.title),
                _text("; ".join(filter(None, about))),
                _code(program.command) if program.command else "",
                _text(program.version),
            )
        )
    yield from _table(heads, rows, "")


def _rendered(table: Table) -> Iterator[str]:
    heads = [_text(head) for head in table.heads]
    rows = []
    for row in table.rows:
        cells = [_text(row.fate)] if row.fate else [_cell(cell) for cell in row.cells]
        cells += [""] * (len(heads) - 1 - len(cells))
        note = f" ({_text(row.note)})" if row.note else ""
        rows.append([f"{_text(row.title)}{note}", *cells])
    yield from _table(heads, rows, _text(table.caption))


def _cell(cell: Cell) -> str:
    text = f"**{_text(cell.text)}**" if cell.tone == "worse" else _text(cell.text)
    return f"{text} ({_text(cell.note)})" if cell.note else text


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> Iterator[str]:
    if caption:
        yield from (f"{caption}:", "")
    for row in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def _pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield from _bullets(f"**{_text(name)}:** {_text(text)}" for name, text in pairs)


def _bullets(lines: Iterable[str]) -> Iterator[str]:
    found = [f"- {line}" for line in lines]
    yield from found
    if found:
        yield ""


def _line(text: str) -> str:
    """As _text(), for what begins a line: it makes neither a list nor a heading."""
    return _OPENING.sub(
        lambda found: f"{found[1]}\\{found[2]}" if found[1] else f"\\{found[3]}", _text(text)
    )


def _text(text: str) -> str:
    """The text on one line, escaped so that nothing of it is taken for markup."""
    line = " ".join(text.split())
    return _MARKUP.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), line)


def _code(text: str) -> str:
    """Code in a cell of a table, where a stroke would end the cell even inside of code."""
    line = " ".join(text.split())
    fence = _fence(line, 1)
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|")


def _block(text: str) -> str:
    fence = _fence(text, 3)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _fence(text: str, least: int) -> str:
    """A fence of at least so many backticks, and of more than the text has in a row."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)
