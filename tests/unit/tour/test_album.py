"""The README that a tour fills, and what may not be in its pictures."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from tools.tour import album
from tools.tour.album import TEMPLATE, filled, fit_to_show
from tools.tour.picture import shrink
from tools.tour.place import need

TOUR = TEMPLATE.parent
README = TEMPLATE.parents[2] / "docs/tour/README.md"


def test_the_readme_names_what_the_scenes_make():
    source = (TOUR / "scenes.py").read_text()
    made = set(re.findall(r'album\.(?:text|terminal|path)\(\s*"(\w+)"', source))
    made |= set(re.findall(r'pool\.submit\(album\.text, "(\w+)"', source))
    named = re.findall(r'{{ (?:text|picture)\("(\w+)"', TEMPLATE.read_text())
    assert sorted(named) == sorted(made)


def test_the_pictures_of_the_readme_are_there():
    pictures = set(re.findall(r"!\[[^]]+\]\((\S+)\)", README.read_text()))
    assert pictures == {each.name for each in README.parent.glob("*.png")}


def test_a_readme_is_filled():
    template = 'See:\n\n{{ picture("a", "about") }}\n\n{{ text("b") }}\n'
    found = filled(template, {"b": "# b\nsaid"}, [Path("x/a.png")])
    assert found == "See:\n\n![about](a.png)\n\n```\n# b\nsaid\n```\n"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ('{{ picture("z", "") }}', "no picture z"),
        ('{{ text("z") }}', "no text z"),
        ('{{ text("b") }}', "not in the README: a"),
    ],
)
def test_what_is_missing_is_an_error(template, why):
    with pytest.raises(SystemExit, match=why):
        filled(template, {"b": ""}, [Path("a.png")])


def test_what_is_of_this_machine_alone_is_not_shown():
    fit_to_show("Linux", ("6.1.0-x", "/home/somebody"))
    with pytest.raises(SystemExit, match="would show"):
        fit_to_show("Linux 6.1.0-x", ("6.1.0-x", "/home/somebody"))


def picture(colour):
    image = Image.new("RGB", (100, 50), "white")
    image.paste(colour, (10, 10, 60, 40))
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def test_a_picture_is_kept_in_few_colours(tmp_path):
    to = tmp_path / "a.png"
    shrink(picture("red"), to)
    with Image.open(to) as image:
        assert image.mode == "P"
        assert image.size == (100, 50)


def test_a_blank_picture_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match=r"a\.png is blank"):
        shrink(picture("white"), tmp_path / "a.png")


def test_pictures_have_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(album, "MOST", 10)
    monkeypatch.setattr(album, "filled", lambda *_: "")
    kept = album.Album(None, tmp_path / "album")
    shrink(picture("red"), kept.path("a"))
    with pytest.raises(SystemExit, match="at most"):
        kept.publish(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_not_installed_is_one_line():
    with pytest.raises(SystemExit, match=r"^tour: not installed: no-such-program; tools/setup"):
        need(("sh", "no-such-program"))
