"""The log of a command that serves, on stderr: for people, for a machine, or for the journal."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import sys
from collections.abc import Iterator

__all__ = ["Log", "logging_to_stderr"]

_LOGGER = logging.getLogger("sockproxy")
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))  # of syslog(3)
_DEBUG = 7


class Log(logging.Handler):
    """A line for each record. One that cannot be written must not end the connections.

    text: the time with its zone, what is wrong as "warning: ", the message.
    json: one object: time, level, logger, message, and the record's `fields`, if it has some.
    journal: the message behind its priority, as sd-daemon(3) has it; the time is the journal's.
    """

    def __init__(self, form: str) -> None:
        super().__init__()
        self._be(form)

    def _be(self, form: str) -> None:
        form = _usual() if form == "auto" else form
        self.line = {"text": _as_text, "json": _as_json, "journal": _as_journal}[form]

    def change(self, form: str, level: str) -> None:
        """Have other lines from now on, and other ones of them."""
        self._be(form)
        _LOGGER.setLevel(level.upper())

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            print(self.line(record), file=sys.stderr, flush=True)

    def write(self, level: int, message: str) -> None:
        """From a signal handler: not by print(), in the midst of which a signal may come."""
        record = _LOGGER.makeRecord(_LOGGER.name, level, "", 0, message, (), None)
        with contextlib.suppress(OSError):
            os.write(2, f"{self.line(record)}\n".encode())


@contextlib.contextmanager
def logging_to_stderr(form: str, level: str) -> Iterator[Log]:
    """What the loggers below "sockproxy" say, from this level up."""
    log, before = Log(form), _LOGGER.level
    _LOGGER.addHandler(log)
    _LOGGER.setLevel(level.upper())
    try:
        yield log
    finally:
        _LOGGER.setLevel(before)
        _LOGGER.removeHandler(log)


def _usual() -> str:
    """systemd.exec(5) says what $JOURNAL_STREAM is."""
    told = os.environ.get("JOURNAL_STREAM")
    try:
        stream = os.fstat(2)
    except OSError:
        return "text"
    return "journal" if told == f"{stream.st_dev}:{stream.st_ino}" else "text"


def _time(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created).astimezone()
    return moment.isoformat(timespec="milliseconds")


def _as_text(record: logging.LogRecord) -> str:
    told = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
    return f"{_time(record)} {told}{record.getMessage()}"


def _as_json(record: logging.LogRecord) -> str:
    document = {
        "time": _time(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        **getattr(record, "fields", {}),
    }
    return json.dumps(document)


def _as_journal(record: logging.LogRecord) -> str:
    priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)
    # A line is a record there, and its first one alone would have the priority.
    return "\n".join(f"<{priority}>{line}" for line in record.getMessage().splitlines())
