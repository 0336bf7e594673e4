"""Takes pictures of pages, by Chromium."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from playwright.sync_api import sync_playwright

from tools.tour.picture import shrink

__all__ = ["Camera"]

WIDTH = 900  # of all pictures, in CSS pixels
SCALE = 1.5  # pixels for each of these
SITE, SITE_HEIGHT = 1160, 860  # of a window for what needs more room
PATIENCE = 60_000  # milliseconds
OPTIONS = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars")


class Camera:
    """A browser, until it is left."""

    def __enter__(self) -> Camera:
        with contextlib.ExitStack() as stack:
            playwright = stack.enter_context(sync_playwright())
            self._browser: Any = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=list(OPTIONS), timeout=PATIENCE
            )
            stack.callback(self._browser.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def page(self, html: str, to: Path) -> None:
        """Take a picture of a page, as high as it is."""
        with self._tab() as tab:
            tab.set_content(html)
            shrink(tab.screenshot(full_page=True), to)

    def file(self, path: Path, before: str, to: Path) -> None:
        """Take a picture of the first screen of a page in a file.

        before: what it ends before, if that is still on it, as a CSS selector.
        """
        with self._tab(SITE, SITE_HEIGHT) as tab:
            tab.goto(path.as_uri())
            end = min(SITE_HEIGHT, tab.locator(before).bounding_box()["y"])
            clip = {"x": 0, "y": 0, "width": SITE, "height": end}
            shrink(tab.screenshot(clip=clip), to)

    def site(self, url: str, drawn: str, to: Path) -> None:
        """Take a picture of a site. drawn: what is to be seen on it first, as a CSS selector."""
        with self._tab(SITE, SITE_HEIGHT) as tab:
            tab.goto(url)
            tab.wait_for_selector(drawn, state="attached")
            shrink(tab.screenshot(), to)

    @contextlib.contextmanager
    def _tab(self, width: int = WIDTH, height: int = 100) -> Iterator[Any]:
        size = {"width": width, "height": height}
        scale = SCALE * WIDTH / width
        context = self._browser.new_context(viewport=size, device_scale_factor=scale)
        context.set_default_timeout(PATIENCE)
        try:
            yield context.new_page()
        finally:
            context.close()
