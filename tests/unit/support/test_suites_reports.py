"""tests/suites: what is read of other projects' reports."""

from __future__ import annotations

import pytest

from tests.suites.kinds import ABORTED, FAILED, KINDS, PASSED, SKIPPED, THE_RUN

JUNIT = """<testsuites tests="5"><testsuite>
<testcase name="a.B.good" status="run" result="completed" time="0.1" />
<testcase name="a.B.bad" status="run" result="completed"><failure type="x">no</failure></testcase>
<testcase name="a.B.worse"><error>E</error><system-out>o</system-out></testcase>
<testcase name="a.B.left"><skipped>Windows specific</skipped></testcase>
<testcase name="a.B.good"><system-out>again</system-out></testcase>
</testsuite></testsuites>"""


def test_the_report_of_cpython(tmp_path):
    (tmp_path / "report.xml").write_text(JUNIT)
    assert KINDS["cpython"].outcomes(tmp_path, "") == {
        "a.B.good": PASSED,
        "a.B.bad": FAILED,
        "a.B.worse": FAILED,
        "a.B.left": SKIPPED,
        "a.B.good #2": PASSED,
    }


@pytest.mark.parametrize("text", [None, "", JUNIT[:-20]])
def test_a_report_of_cpython_that_was_cut_short(tmp_path, text):
    if text is not None:
        (tmp_path / "report.xml").write_text(text)
    assert KINDS["cpython"].outcomes(tmp_path, "test_x ... ok") == {THE_RUN: ABORTED}


RUNTEST = """\
[ready]: 11971
\x1b[1;37;49mTesting unit/x\x1b[0m
[\x1b[0;32;49mok\x1b[0m]: BLMOVE (left, left), list exists (1005 ms)
[\x1b[0;32;49mok\x1b[0m]: Twice (0 ms)
[\x1b[0;31;49merr\x1b[0m]: RESTORE fails in tests/unit/dump.tcl
Expected '[ok]: *' to equal or match 'no'
[\x1b[0;36;49mignore\x1b[0m]: Large: with a colon: large memory flag not provided
[\x1b[0;33;49mskip\x1b[0m]: Left out
[\x1b[0;32;49mok\x1b[0m]: Twice (7 ms)
[1/1 \x1b[0;33;49mdone\x1b[0m]: unit/x (3 seconds)

                   The End

!!! \x1b[1;31;49mWARNING\x1b[0m The following tests failed:

*** [\x1b[0;31;49merr\x1b[0m]: RESTORE fails in tests/unit/dump.tcl
"""


def test_what_redis_prints(tmp_path):
    assert KINDS["redis"].outcomes(tmp_path, RUNTEST) == {
        "BLMOVE (left, left), list exists": PASSED,
        "Twice": PASSED,
        "RESTORE fails": FAILED,
        "Large: with a colon": SKIPPED,
        "Left out": SKIPPED,
        "Twice #2": PASSED,
    }


def test_redis_when_an_exception_ends_it(tmp_path):
    cut = RUNTEST[: RUNTEST.index("[\x1b[0;36")] + "[exception]: Executing test client: ERR.\n"
    found = KINDS["redis"].outcomes(tmp_path, cut)
    assert found == {
        "BLMOVE (left, left), list exists": PASSED,
        "Twice": PASSED,
        "RESTORE fails": FAILED,
        THE_RUN: ABORTED,
    }


TAP = """\
1..4
# Output from process `platform_output`:
# uv_cwd: /tmp
ok 1 - platform_output
not ok 2 - tcp_timeout
# exit code 6
# not ok 7 - of a child
ok 3 - tty # SKIP Cannot open /dev/tty
ok 4 - fs_poll
"""


def test_what_libuv_prints(tmp_path):
    found = {"platform_output": PASSED, "tcp_timeout": FAILED, "tty": SKIPPED, "fs_poll": PASSED}
    assert KINDS["libuv"].outcomes(tmp_path, TAP) == found
    cut = KINDS["libuv"].outcomes(tmp_path, TAP[: TAP.index("ok 4")])
    assert cut == {name: each for name, each in found.items() if name != "fs_poll"} | {
        THE_RUN: ABORTED
    }
    assert KINDS["libuv"].outcomes(tmp_path, "") == {THE_RUN: ABORTED}
