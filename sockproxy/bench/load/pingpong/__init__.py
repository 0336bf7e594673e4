"""pingpong: sockproxy's own load generator, which checks every byte.

It can use AF_UNIX as well as TCP, and measure beside streams. It is compiled from the C files of
this folder when a case begins, so that no program needs to be in the wheel: see pingpong.h.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sockproxy.bench.load.base import Host, Load, Outcome, Target, Test, Tool, no_figures

__all__ = ["Pingpong"]

SOURCES = sorted(Path(__file__).parent.glob("*.c"))


class Pingpong(Tool):
    name = "pingpong"
    title = "pingpong"
    programs = ("cc",)
    install = "apt-get install gcc libc6-dev"
    versions: Mapping[str, Sequence[str]] = {"cc": ("cc", "--version")}
    tests: Mapping[str, Test] = {
        "rr": Test(64, "per_s", many=False),
        "stream": Test(128 << 10, "gbit_per_s", many=False),
        "crr": Test(64, "per_s", many=False),
        # The three above wait in epoll, as servers do; this one in read(2).
        "rr-blocking": Test(64, "per_s", many=False),
        # `connections` are the streams.
        "rr-beside": Test(64, "per_s"),
        "crr-beside": Test(64, "per_s"),
    }
    port = 7007
    unix = True

    def serve(self, load: Load, host: Host) -> None:
        program = _program(host.folder)
        host.run(["cc", "-O2", "-o", program, *map(str, SOURCES)])
        path = self.unix_path(host)
        _, how = _read_test(load.test)
        where = f"{host.address}:{self.port}"
        host.start([program, "serve", where, *how], ports=[self.port])
        host.start([program, "serve", str(path), *how], ready=path.exists)

    def command(self, load: Load, target: Target, amount: int) -> list[str]:
        where = str(target.path or f"{target.address}:{self.port}")
        mode, how = _read_test(load.test)
        streams = [str(load.connections)] if load.test.endswith("-beside") else []
        given = [str(load.size), str(amount), *streams, *how]
        return [_program(target.folder), mode, where, *given]

    def read(self, load: Load, output: str, amount: int) -> Outcome:
        try:
            said = json.loads(output)
            messages, payload, seconds = said["messages"], said["bytes"], said["seconds"]
            checks = ("every byte in its place",)
            course = tuple(map(float, said.pop("each_second")))
            if load.test == "stream":
                values = {"gbit_per_s": payload * 8 / seconds / 1e9}
                course = tuple(each * 8 / 1e9 for each in course)
                return Outcome(values, payload, checks=checks, raw=said, each_second=course)
            values = {"per_s": messages / seconds}
            values |= {key: said[key] for key in ("mean_us", "p50_us", "p99_us")}
            if said["beside"]:
                values["gbit_per_s"] = said["beside"] * 8 / seconds / 1e9
                # What it costs is the streams': so it is told by the byte.
                payload += said["beside_in_all"]
                return Outcome(values, payload, checks=checks, raw=said, each_second=course)
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            raise no_figures("pingpong", output) from None
        return Outcome(values, payload, messages, checks, raw=said, each_second=course)


def _read_test(test: str) -> tuple[str, list[str]]:
    """The program's mode for a test, and the words that end its command line."""
    mode, _, how = test.partition("-")
    return mode, ["blocking"] if how == "blocking" else []


def _program(folder: Path) -> str:
    return str(folder / "pingpong")
