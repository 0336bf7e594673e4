"""`sockproxy bench report`: where it writes, and what it refuses."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from sockproxy.cli.bench.report import report
from sockproxy.errors import SockproxyError, Unsupported, UsageError
from tests.support import bench_document as documents
from tests.support.bench_report import TROUBLE, Page
from tests.support.schema import check_document


@pytest.fixture
def kept(tmp_path):
    """A result's file."""
    path = tmp_path / "quick.json"
    path.write_text(json.dumps(documents.document(**TROUBLE)))
    return path


def without(monkeypatch, name):
    """As if this package and all of it were not installed."""
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)


def invoke(*arguments):
    """The command's stdout and its code; what it raises on purpose is raised."""
    done = CliRunner().invoke(report, [str(each) for each in arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout


@pytest.mark.parametrize("name", ["matplotlib", "jinja2"])
def test_without_the_extra(monkeypatch, name, kept):
    without(monkeypatch, name)
    with pytest.raises(Unsupported, match=r"draw the report; pip install 'sockproxy\[report\]'"):
        invoke(kept)
    assert [path.name for path in kept.parent.iterdir()] == ["quick.json"]
    invoke(kept, "--markdown", kept.with_suffix(".md"))
    assert "# Does it help?" in kept.with_suffix(".md").read_text()


def test_command_writes_beside_the_result(kept):
    path = kept.with_suffix(".html")
    path.write_text("an older one")
    assert invoke(kept).strip() == str(path)
    Page(path.read_text())
    assert {each.name for each in kept.parent.iterdir()} == {"quick.json", "quick.html"}


def test_command_takes_the_newest_result(monkeypatch, kept):
    folder = kept.parent / "sockproxy" / "bench"
    folder.mkdir(parents=True)
    kept.rename(folder / kept.name)
    monkeypatch.setenv("XDG_STATE_HOME", str(kept.parent))
    assert invoke().strip() == str(folder / "quick.html")


def test_command_prints(kept):
    assert invoke(kept, "--output", "-").startswith("<!DOCTYPE html>")
    assert invoke(kept, "--markdown", "-").startswith("# Does it help?")
    made = check_document(invoke(kept, "--json", "--markdown", kept.with_suffix(".md")))
    assert (made["kind"], made["markdown"]) == ("bench-report", str(kept.with_suffix(".md")))
    assert "html" not in made


def test_command_does_both(kept):
    html_path, markdown_path = kept.with_name("a.html"), kept.with_name("b.md")
    lines = invoke(kept, "--output", html_path, "--markdown", markdown_path).split()
    assert lines == [str(html_path), str(markdown_path)]
    assert html_path.exists()
    assert markdown_path.exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--output", "-", "--markdown", "-"),
        ("--csv", "-", "--markdown", "-"),
        ("--json", "--output", "-"),
        ("--json", "--csv", "-"),
        ("--markdown", "SAME"),
        ("--csv", "SAME"),
    ],
    ids=" ".join,
)
def test_command_refuses_what_would_collide(kept, options):
    with pytest.raises(UsageError):
        invoke(kept, *(str(kept) if each == "SAME" else each for each in options))
    json.loads(kept.read_text())


def test_command_refuses_what_is_no_result(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        invoke(tmp_path / "none.json")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UsageError, match="is no result"):
        invoke(tmp_path / "x.json")


def test_command_tells_of_places_that_cannot_be_written(kept):
    with pytest.raises(SockproxyError, match=r"write .*: File exists .*; give another"):
        invoke(kept, "--output", kept / "x.html")
    with pytest.raises(SockproxyError, match="No space left on device") as failed:
        invoke(kept, "--output", "/dev/full")
    assert failed.value.exit_code == 1


def test_command_writes_samples(kept):
    path = kept.with_suffix(".csv")
    done = check_document(invoke(kept, "--csv", path, "--json"))
    assert (done["csv"], done.keys() & {"html", "markdown"}) == (str(path), set())
    assert not kept.with_suffix(".html").exists()
    assert invoke(kept, "--csv", "-") == path.read_text()


def test_command_keeps_devices_and_links(kept):
    link, target = kept.with_name("link.html"), kept.with_name("target.html")
    target.write_text("")
    link.symlink_to(target)
    invoke(kept, "--output", link)
    assert link.is_symlink()
    Page(target.read_text())
    invoke(kept, "--output", "/dev/null")
    with open("/dev/null") as device:
        assert not device.read()
