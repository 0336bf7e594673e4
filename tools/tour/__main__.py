"""A tour of sockproxy in pictures, as tools/tour/run has it made: python -m tools.tour FOLDER."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tools.tour.album import Album
from tools.tour.camera import Camera
from tools.tour.place import HOME, arrange, need
from tools.tour.prometheus import prometheus
from tools.tour.scenes import (
    audit,
    bench,
    dashboard,
    doctor,
    graph,
    look,
    switch_off,
    switch_on,
    tap,
    top,
)
from tools.tour.shop import METRICS, clients, servers

WATCHED, ENOUGH = 20, 3  # seconds of traffic


def main() -> None:
    """Make the pictures, and put them into the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: tools/tour/run PYTHON [FOLDER]")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    began = time.monotonic()

    def step(about: str, make: Callable[[], None]) -> None:
        print(f"tour: {time.monotonic() - began:4.0f} s  {about}", flush=True)
        make()

    need()
    arrange(Path(sys.executable).with_name("sockproxy"))
    with Camera() as camera:
        album = Album(camera, HOME / "album")
        step("what this machine can do", lambda: doctor(album))
        with servers(), prometheus(METRICS) as server:
            recorded = time.time()
            time.sleep(ENOUGH)  # what is asked for later begins within the second
            step("look, and change nothing", lambda: look(album))
            with clients():
                time.sleep(WATCHED)
            step("switch it on", lambda: switch_on(album))
            with clients():
                time.sleep(WATCHED)
                step("who moves the bytes", lambda: top(album))
                step("what they carry", lambda: tap(album))
                time.sleep(WATCHED)
                step("Prometheus", lambda: graph(album, server))
                step("the dashboard", lambda: dashboard(album, server))
            step("who did what", lambda: audit(album, recorded))
            with clients() as programs:
                time.sleep(ENOUGH)
                step("switch it off", lambda: switch_off(album, programs))
        step("is it worth it, a short benchmark", lambda: bench(album))
        size = album.publish(Path(sys.argv[1]))
    print(f"tour: {time.monotonic() - began:4.0f} s  there are {size >> 10} KiB of pictures")


def _end(number: int, frame: FrameType | None) -> None:
    """This is the first process of its namespace: all others end with it."""
    print("tour: ended, nothing is written", file=sys.stderr)
    os._exit(128 + number)


if __name__ == "__main__":
    main()
