"""A BPF object file: opened, its knobs set, loaded; its programs, maps and links."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sockproxy.bpf.library import check, failure, ffi, load_library
from sockproxy.bpf.map import Map, pin

__all__ = ["BpfObject", "Link", "Program"]

# Where a log does not fit the kernel answers ENOSPC, whatever is wrong with the program, before
# Linux 6.4 ("bpf: Switch BPF verifier log to be a rotating log by default").
LOG_BYTES = 64 << 20


class Link:
    """An attachment that lives as long as this object, or as its pin."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer

    def pin(self, path: str) -> None:
        """Keep the attachment at `path`, which must lie on a bpffs."""
        lib = load_library()
        doing = f"pin a link at {os.path.realpath(path)}"
        check(lib.bpf_link__pin(self._pointer, path.encode()), doing)

    def close(self) -> None:
        """Detach, unless pinned. Closing twice is allowed."""
        if self._pointer is not None:
            load_library().bpf_link__destroy(self._pointer)
            self._pointer = None


class Program:
    """One program of a loaded object."""

    def __init__(self, name: str, pointer: Any) -> None:
        self.name = name
        self._pointer = pointer

    @property
    def fd(self) -> int:
        """The program's file descriptor."""
        return int(load_library().bpf_program__fd(self._pointer))

    def pin(self, path: str) -> None:
        """Keep the program at `path`, which must lie on a bpffs."""
        pin(self.fd, path)

    def close(self) -> None:
        """Nothing: a program lives as long as its object, or as its pin."""

    def attach(self) -> Link:
        """Attach to what the section names: a function of the kernel."""
        pointer = load_library().bpf_program__attach(self._pointer)
        if not pointer:
            raise failure(f"attach {self.name} to the kernel", ffi.errno)
        return Link(pointer)

    def attach_to_cgroup(self, cgroup_fd: int) -> Link:
        """Attach beside whatever else is on the cgroup; a link, from Linux 5.7 on."""
        pointer = load_library().bpf_program__attach_cgroup(self._pointer, cgroup_fd)
        if not pointer:
            raise failure(f"attach {self.name} to the cgroup", ffi.errno)
        return Link(pointer)

    def attach_to_map(self, target: Map, kind: int) -> None:
        """Attach as the sockmap's parser or verdict. It goes with the map.

        kind: one of enum bpf_attach_type, BPF_SK_SKB_* or BPF_SK_MSG_VERDICT.
        """
        check(
            load_library().bpf_prog_attach(self.fd, target.fd, kind, 0),
            f"attach {self.name} to the map {target.name}",
        )

    def attach_iterator(self, target: Map | None = None) -> Link:
        """Attach as an iterator, over `target` if it is one over a map: each open of the link's
        pin reads anew."""
        options = ffi.NULL
        if target is not None:
            info = ffi.new("struct bpf_iter_link_info *")
            info.map_fd = target.fd
            options = ffi.new("struct bpf_iter_attach_opts *")
            options.sz = ffi.sizeof("struct bpf_iter_attach_opts")
            options.link_info = info
            options.link_info_len = ffi.sizeof("struct bpf_iter_link_info")
        pointer = load_library().bpf_program__attach_iter(self._pointer, options)
        if not pointer:
            over = f" to the map {target.name}" if target is not None else ""
            raise failure(f"attach {self.name}{over}", ffi.errno)
        return Link(pointer)


class Runner:
    """BPF_PROG_TEST_RUN of one program on one packet.

    packet: its bytes, which may be changed between runs, and which a run changes.
    """

    def __init__(self, name: str, fd: int, data: bytes) -> None:
        self._name, self._fd = name, fd
        self._run = load_library().bpf_prog_test_run_opts
        self.packet = bytearray(data)
        self._data = ffi.from_buffer(self.packet)
        self._options = ffi.new("struct bpf_test_run_opts *")
        self._options.sz = ffi.sizeof("struct bpf_test_run_opts")
        self._options.data_in = self._options.data_out = self._data
        self._options.data_size_in = len(data)
        self._options.repeat = 1

    def __call__(self) -> int:
        """Run once; the program's return value."""
        self._options.data_size_out = len(self.packet)
        result = self._run(self._fd, self._options)
        if result < 0:
            raise failure(f"run {self._name}", -result)
        return int(self._options.retval)


class BpfObject:
    """A BPF object from memory.

    Between construction and load() the knobs may be set: map sizes, which programs
    are loaded, and as what they will be attached.
    """

    def __init__(self, name: str, image: bytes) -> None:
        self.name = name
        self._lib = load_library()
        self._image = image  # libbpf refers to it until load()
        self._maps: dict[str, Map] = {}
        self._pointer = self._lib.bpf_object__open_mem(image, len(image), ffi.NULL)
        if not self._pointer:
            raise failure(f"open {name}", ffi.errno)

    def _program(self, name: str) -> Any:
        pointer = self._lib.bpf_object__find_program_by_name(self._pointer, name.encode())
        if not pointer:
            raise failure(f"find the program {name} in {self.name}", errno.ENOENT)
        return pointer

    def _programs(self) -> Iterator[tuple[str, Any]]:
        program = ffi.NULL
        while program := self._lib.bpf_object__next_program(self._pointer, program):
            yield ffi.string(self._lib.bpf_program__name(program)).decode(), program

    def _map(self, name: str) -> Any:
        pointer = self._lib.bpf_object__find_map_by_name(self._pointer, name.encode())
        if not pointer:
            raise failure(f"find the map {name} in {self.name}", errno.ENOENT)
        return pointer

    def set_max_entries(self, name: str, entries: int) -> None:
        """Size the map `name` before load: entries, or bytes for a ring buffer."""
        check(
            self._lib.bpf_map__set_max_entries(self._map(name), entries),
            f"size the map {name} to {entries}",
        )

    def reuse(self, name: str, fd: int) -> None:
        """Before load: let the map `name` be this one, which lives as long as `fd` or programs."""
        check(self._lib.bpf_map__reuse_fd(self._map(name), fd), f"take another map for {name}")

    def set_attach_type(self, name: str, kind: int) -> None:
        """Say before load as what the program will be attached.

        For what libbpf cannot tell from the section: 1.1 does not know
        ``sk_skb/verdict``, so such a program stands in ``sk_skb``.
        """
        check(
            self._lib.bpf_program__set_expected_attach_type(self._program(name), kind),
            f"set the attach type of {name}",
        )

    def only(self, names: Collection[str]) -> None:
        """Load these programs, and no others."""
        for name, program in self._programs():
            check(self._lib.bpf_program__set_autoload(program, name in names), f"skip {name}")

    def load(self) -> None:
        """Load maps and programs.

        Raises KernelError with the verifier's log when a program is refused.
        """
        names = [name for name, _ in self._programs()]
        # Anonymous memory: there are only as many pages of it as the kernel writes.
        size = len(names) * mmap.PAGESIZE + LOG_BYTES
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as logs:
            start = ffi.from_buffer("char[]", logs)
            for number, (_, program) in enumerate(self._programs()):
                self._lib.bpf_program__set_log_buf(
                    program, start + number * mmap.PAGESIZE, LOG_BYTES
                )
            result = self._lib.bpf_object__load(self._pointer)
            log = _verifier_log(names, logs) if result < 0 else None
            ffi.release(start)
        if result < 0:
            self.close()
            raise failure(f"load {self.name}", -result, log)

    def program(self, name: str) -> Program:
        """The loaded program `name`."""
        return Program(name, self._program(name))

    def map(self, name: str) -> Map:
        """The loaded map `name`."""
        if name not in self._maps:
            self._maps[name] = Map(name, int(self._lib.bpf_map__fd(self._map(name))))
        return self._maps[name]

    def close(self) -> None:
        """Close all programs and maps. Closing twice is allowed."""
        if self._pointer is not None:
            self._lib.bpf_object__close(self._pointer)
            self._pointer = None


def _verifier_log(names: Sequence[str], logs: mmap.mmap) -> str | None:
    """What the verifier said, under the program's name; None if nothing.

    A log has a page for each program, and each begins on its own: only that of the program which is
    refused is written, and it is the last that libbpf loads.
    """
    for number, name in enumerate(names):
        logs.seek(number * mmap.PAGESIZE)
        if logs.read(1) != b"\0":
            logs.seek(-1, os.SEEK_CUR)
            text = logs.read(logs.find(b"\0", logs.tell()) - logs.tell())
            return f"{name}:\n{text.decode(errors='replace').strip()}"
    return None
