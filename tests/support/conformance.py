"""The conformance suite: tests/conformance/rows.toml as a selection of tests, and as a table.

    pytest --conformance=DIR [--doctor=FILE] [--sample=N]

runs the tests that the rows name, each once, and writes DIR/conformance.json and .md. It takes
the "=": before pytest knows our options it would look for tests in a DIR that follows a space.
See docs/conformance.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import conformance_table as table
from tests.support.conformance_table import MECHANISMS, read_rows

ROWS = Path("tests") / "conformance" / "rows.toml"
# What each needs, as doctor calls it.
DOCTOR = {
    "splice": ("splice",),
    "verdict-only": ("splice, verdict only",),
    "bypass": ("bypass",),
    "short-circuit": ("splice", "bypass"),
}
NOT_EXACT = {"exact"}  # the probes without which verdict-only still does what its rows ask


@dataclass
class Outcome:
    """Of one test: "passed", "failed", "skipped" or "not run", and why."""

    status: str = "not run"
    why: str = ""


@dataclass
class Run:
    """What the rows ask for, and what came of it."""

    folder: Path
    rows: list
    off: dict[str, str]  # mechanism to why
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    sample: int = 0  # how many tests of each pattern; 0 for all
    tests: dict[str, list] = field(default_factory=dict)  # of each pattern
    document: dict = field(default_factory=dict)
    ready: bool = False  # the rows fit the tests

    def match(self, nodeids):
        """Find out, once, which tests each pattern names."""
        patterns = {each for row in self.rows for each in row.all_patterns()}
        self.tests = {
            pattern: [nodeid for nodeid in nodeids if table.fits(nodeid, pattern)]
            for pattern in sorted(patterns)
        }

    def chosen(self):
        """A sample of the tests of each pattern: those that another has chosen already, then
        some from all over its list."""
        taken = set()
        for fit in self.tests.values():
            more = self.sample - len(taken.intersection(fit)) if self.sample else len(fit)
            rest = [nodeid for nodeid in fit if nodeid not in taken]
            step = max(1, len(rest) / more) if more > 0 else 1
            taken.update(rest[int(step * number)] for number in range(min(more, len(rest))))
        return taken

    def tell(self, report):
        """At once: where tests take an hour, or never end, that is what one wants to read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "failures.txt").open("a") as file:
            file.write(f"{report.nodeid} ({report.when})\n{report.longreprtext}\n\n")

    def wanted(self):
        """The tests that a mechanism which is not off is named with."""
        return {
            nodeid
            for row in self.rows
            for mechanism in MECHANISMS
            if mechanism not in self.off
            for pattern in row.patterns(mechanism)
            for nodeid in self.tests[pattern]
        }


RUN = pytest.StashKey[Run]()


def pytest_addoption(parser):
    group = parser.getgroup("conformance")
    group.addoption(
        "--conformance",
        metavar="DIR",
        type=Path,
        help="run the tests of the conformance table and write it to DIR",
    )
    group.addoption(
        "--doctor",
        metavar="FILE",
        type=Path,
        help="what 'sockproxy doctor --json' printed: skip what is off",
    )
    group.addoption("--sample", metavar="N", type=int, default=0,
                    help="of each pattern of the table run N tests, not all")  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    folder, doctor = config.getoption("--conformance"), config.getoption("--doctor")
    if not folder:
        if doctor or config.getoption("--sample"):
            raise pytest.UsageError("--doctor and --sample go with --conformance")
        return
    try:
        rows = read_rows(config.rootpath / ROWS)
        off = mechanisms_off(json.loads(doctor.read_text())) if doctor else {}
    except (OSError, ValueError, KeyError) as error:
        raise pytest.UsageError(f"conformance: {error!r}") from None
    (folder / "failures.txt").unlink(missing_ok=True)  # of the run before
    if config.args_source is not config.ArgsSource.ARGS:  # no paths were asked for
        config.args[:] = table.files(rows)
    config.stash[RUN] = Run(folder, rows, off, sample=config.getoption("--sample"))


def mechanisms_off(report):
    """Mechanism to why its tests are not to be run, by a report of doctor."""
    off = {}
    for mechanism, needed in DOCTOR.items():
        said = [report["mechanisms"][name] for name in needed]
        failed = list(dict.fromkeys(probe for each in said for probe in each["failed"]))
        functional = mechanism == "verdict-only" and failed and NOT_EXACT.issuperset(failed)
        if not all(each["on"] for each in said) and not functional:
            off[mechanism] = "failed: " + ", ".join(failed)
    return off


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Before -m and -k, so that what they leave out is known from what is not there."""
    run = config.stash.get(RUN, None)
    if run is None:
        return
    run.match([item.nodeid for item in items])
    check_patterns(config, run)
    keep, leave = [], []
    chosen, wanted = run.chosen(), run.wanted()
    for item in items:
        named = item.nodeid in chosen
        if named:
            soak = item.get_closest_marker("soak") is not None
            run.outcomes[item.nodeid] = Outcome(why="a soak test: -m soak" if soak else "")
        (keep if named and item.nodeid in wanted else leave).append(item)
    if leave:
        config.hook.pytest_deselected(items=leave)
    items[:] = keep
    run.ready = True


def check_patterns(config, run):
    """Every pattern names a test. Of a part of the tests that cannot be said."""
    if config.args_source is config.ArgsSource.ARGS:
        return
    for row in run.rows:
        for pattern in row.all_patterns():
            if not run.tests[pattern]:
                raise pytest.UsageError(
                    f"conformance: no test fits {pattern!r} of the row {row.name!r}"
                )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    run = item.config.stash.get(RUN, None)
    if run is not None and item.nodeid in run.outcomes:
        note(run.outcomes[item.nodeid], report)
        if report.failed:
            run.tell(report)
    return report


def note(outcome, report):
    """Set-up, call and tear-down of one test: the worst of the three."""
    if report.failed:
        outcome.status, outcome.why = "failed", ""
    elif report.skipped and outcome.status != "failed":
        told = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.wasxfail
        outcome.status, outcome.why = "skipped", str(told).removeprefix("Skipped: ")
    elif report.when == "call" and outcome.status == "not run":
        outcome.status, outcome.why = "passed", ""


def pytest_sessionfinish(session):
    """Also after a failure and after Ctrl-C."""
    run = session.config.stash.get(RUN, None)
    if run is None or not run.ready or session.config.option.collectonly:
        return
    run.document = table.document(run.rows, run.outcomes, run.off)
    run.folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(run.document, indent=2, ensure_ascii=False) + "\n"
    (run.folder / "conformance.json").write_text(text)
    (run.folder / "conformance.md").write_text(table.markdown(run.document))


def pytest_terminal_summary(terminalreporter, config):
    run = config.stash.get(RUN, None)
    if run is None or not run.document:
        return
    terminalreporter.section("conformance")
    for line in table.summary(run.document):
        terminalreporter.line(line)
    terminalreporter.line(f"written: {run.folder / 'conformance.md'}")
