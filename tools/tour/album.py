"""The pictures and texts of a tour, which become its folder once all are there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.tour import terminal
from tools.tour.picture import check

if TYPE_CHECKING:
    from tools.tour.camera import Camera

__all__ = ["Album", "filled", "fit_to_show"]

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = Path(__file__).with_name("README.md.j2")
WIDE = 180  # columns of a text, which a reader can scroll
MOST = 1 << 20  # bytes of all pictures


class Album:
    """camera: takes the pictures. folder: where they are until `publish`."""

    def __init__(self, camera: Camera, folder: Path) -> None:
        self.camera = camera
        self._folder = folder
        self._texts: dict[str, str] = {}
        folder.mkdir()

    def path(self, name: str) -> Path:
        """Of a picture."""
        return self._folder / f"{name}.png"

    def terminal(self, name: str, *commands: str, **options: Any) -> None:
        """Run commands, each in a terminal, and take one picture of them all."""
        shown = [terminal.run(each, **options) for each in commands]
        for each in shown:
            _good(each)
        self.camera.page(terminal.as_html(shown), self.path(name))

    def text(self, name: str, command: str) -> None:
        """Run a command in a terminal, for a block of text."""
        shown = terminal.run(command, columns=WIDE)
        _good(shown)
        self._texts[name] = terminal.as_text(shown)

    def publish(self, to: Path) -> int:
        """Write the pictures and the README, in place of those of an earlier tour. Gives bytes."""
        pictures = sorted(self._folder.glob("*.png"))
        readme = filled(TEMPLATE.read_text(encoding="utf-8"), self._texts, pictures)
        for each in pictures:
            check(each)
        size = sum(each.stat().st_size for each in pictures)
        if size > MOST:
            raise SystemExit(f"tour: the pictures have {size >> 10} KiB, of {MOST >> 10} at most")
        to.mkdir(parents=True, exist_ok=True)
        for old in to.glob("*.png"):
            old.unlink()
        for each in pictures:
            shutil.copyfile(each, to / each.name)
        (to / "README.md").write_text(readme, encoding="utf-8")
        return size


def _good(shown: terminal.Shown) -> None:
    if shown.status:
        raise SystemExit(f"tour: {shown.command}: status {shown.status}: {shown.text}")
    if not shown.text.strip():
        raise SystemExit(f"tour: {shown.command}: it shows nothing")
    fit_to_show(shown.text, (os.uname().release, str(ROOT)))


def fit_to_show(text: str, private: tuple[str, ...]) -> None:
    """End with one line where a text tells what is of this machine alone."""
    for word in private:
        if word in text:
            raise SystemExit(f"tour: a picture would show {word!r}")


def filled(template: str, texts: dict[str, str], pictures: list[Path]) -> str:
    """The README. Each text and each picture has to be in it, and it names no other."""
    from jinja2 import Environment, StrictUndefined

    used: set[str] = set()

    def picture(name: str, about: str) -> str:
        if name not in {each.stem for each in pictures}:
            raise SystemExit(f"tour: there is no picture {name}")
        used.add(name)
        return f"![{about}]({name}.png)"

    def text(name: str) -> str:
        if name not in texts:
            raise SystemExit(f"tour: there is no text {name}")
        used.add(name)
        return f"```\n{texts[name]}\n```"

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    readme = environment.from_string(template).render(picture=picture, text=text)
    if unused := {*texts, *(each.stem for each in pictures)} - used:
        raise SystemExit(f"tour: not in the README: {', '.join(sorted(unused))}")
    return readme
