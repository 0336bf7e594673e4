"""Lines of the log: for people, for a machine, for the journal."""

from __future__ import annotations

import datetime
import logging
import os

import pytest

from sockproxy.cli.logs import Log, logging_to_stderr
from tests.support.schema import check_line

LOG = logging.getLogger("sockproxy.proxy")
REFUSED = {"service": "", "client": "1", "why": "nobody answers"}


@pytest.fixture
def lines(capsys):
    return lambda: capsys.readouterr().err.splitlines()


def test_text_has_the_time_with_its_zone_and_what_is_wrong(lines):
    with logging_to_stderr("text", "info"):
        LOG.info("it goes")
        LOG.warning("it does not")
        LOG.debug("nobody asked")
    one, other = lines()
    stamp, message = one.split(" ", 1)
    assert datetime.datetime.fromisoformat(stamp).tzinfo is not None
    assert message == "it goes"
    assert other.endswith(" warning: it does not")


def test_json_is_one_object_a_line(lines):
    with logging_to_stderr("json", "debug"):
        LOG.warning('a "quoted"\nline \x1b[31m')
        LOG.debug("1 refused", extra={"fields": {"event": "refused", **REFUSED}})
    one, other = map(check_line, lines())
    assert one["message"] == 'a "quoted"\nline \x1b[31m'
    assert (one["level"], one["logger"]) == ("warning", "sockproxy.proxy")
    assert datetime.datetime.fromisoformat(one["time"]).tzinfo is not None
    assert (other["event"], other["client"], other["level"]) == ("refused", "1", "debug")


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3)],
)
def test_the_journal_has_a_priority_for_each_line(lines, level, priority):
    with logging_to_stderr("journal", "debug"):
        LOG.log(level, "one\nother")
    assert lines() == [f"<{priority}>one", f"<{priority}>other"]


def test_a_level_leaves_out_what_is_below(lines):
    with logging_to_stderr("journal", "warning"):
        LOG.info("no")
        LOG.warning("yes")
    assert lines() == ["<4>yes"]


@pytest.mark.parametrize(("off", "form"), [(0, "journal"), (1, "text")])
def test_auto_finds_out_whether_stderr_is_the_journals(monkeypatch, off, form):
    stream = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{stream.st_dev}:{stream.st_ino + off}")
    record = logging.LogRecord("sockproxy", logging.INFO, "", 0, "x", (), None)
    assert Log("auto").line(record) == ("<6>x" if form == "journal" else Log("text").line(record))


def test_one_that_cannot_be_written_ends_nothing(monkeypatch):
    class Full:
        def write(self, _text):
            raise OSError(28, "No space left on device")

        flush = write

    monkeypatch.setattr("sys.stderr", Full())
    with logging_to_stderr("text", "info"):
        LOG.info("lost")


def test_what_came_before_is_as_it_was_after_it():
    logger = logging.getLogger("sockproxy")
    before = logger.level, list(logger.handlers)
    with logging_to_stderr("text", "error"):
        assert logger.level == logging.ERROR
    assert (logger.level, logger.handlers) == before
