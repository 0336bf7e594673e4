"""Programs whose sockets a bypass leaves plain, and where they accept connections."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sockproxy.bpf import Map, ffi
from sockproxy.bpf.abi import Plain

__all__ = [
    "LONGEST_COMM",
    "LONGEST_NAME",
    "MOST_PROGRAMS",
    "Program",
    "note_acceptors",
    "read_programs",
    "write_programs",
]

MOST_PROGRAMS = 32  # the map has room for two entries of each: bpf/bypass/maps.h
LONGEST_COMM = 15  # bytes of a process's name, as the kernel keeps it
LONGEST_NAME = ffi.offsetof("struct program_name", "inode") - 1  # bytes
LONGEST_PATH = ffi.sizeof("struct asked_for") - 1  # bytes that are kept of one, to be shown


@dataclass(frozen=True, slots=True, order=True)
class Program:
    """A program that is left alone. asked: the name or the path that the user gave.

    name: of its process, or of its executable. inode: of its executable; 0 where every program of
    that name is meant.
    """

    asked: str
    name: str
    inode: int = 0

    def entries(self) -> list[Any]:
        """The keys under which the map has it: by its whole name, and by what the kernel keeps of a
        process's name, which is LONGEST_COMM bytes."""
        name = os.fsencode(self.name)
        names = [name] if self.inode else [name, name[:LONGEST_COMM]]
        return [
            ffi.new("struct program_name *", (each[:LONGEST_NAME], self.inode))
            for each in dict.fromkeys(names)
        ]


def write_programs(left_alone: Map, programs: Iterable[Program]) -> None:
    """Make these the programs that are left alone, and no others."""
    wanted = {bytes(ffi.buffer(key)): each for each in programs for key in each.entries()}
    for key in [bytes(ffi.buffer(key)) for key in left_alone.keys("struct program_name")]:
        if key not in wanted:
            left_alone.delete(ffi.from_buffer("struct program_name *", key))
    for key, each in wanted.items():
        asked = os.fsencode(each.asked)[:LONGEST_PATH]
        value = ffi.new("struct asked_for *", (asked,))
        left_alone.update(ffi.from_buffer("struct program_name *", key), value)


def read_programs(left_alone: Map) -> tuple[Program, ...]:
    """The programs that are left alone, each once, sorted."""
    found: dict[str, Program] = {}
    value = ffi.new("struct asked_for *")
    for key in left_alone.keys("struct program_name"):
        if left_alone.lookup(key, value):
            name, asked = _text(key.name), _text(value.path)
            if asked not in found or len(name) > len(found[asked].name):
                found[asked] = Program(asked, name, int(key.inode))
    return tuple(sorted(found.values()))


def note_acceptors(acceptors: Map, known: Mapping[tuple[int, int], Plain]) -> None:
    """What listens already: (network namespace, port), and why what it accepts stays plain.

    A port that was of a program which is not left alone any more is forgotten.
    """
    value = ffi.new("struct acceptor *")
    for key in list(_copies(acceptors)):
        if acceptors.lookup(key, value) and value.plain == Plain.PROGRAM:
            acceptors.delete(key)
    for (netns, port), plain in known.items():
        key = ffi.new("struct local_port *", (netns, port))
        acceptors.update(key, ffi.new("struct acceptor *", {"plain": plain}))


def _copies(acceptors: Map) -> Iterable[Any]:
    for key in acceptors.keys("struct local_port"):
        yield ffi.new("struct local_port *", (key.netns, key.port))


def _text(raw: Any) -> str:
    return os.fsdecode(ffi.string(raw))
