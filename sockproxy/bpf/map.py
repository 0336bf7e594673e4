"""One BPF map, reached by its file descriptor."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterator
from typing import Any

from sockproxy.bpf.library import check, failure, ffi, load_library

__all__ = ["Map", "open_pinned", "pin", "pinned"]


class Map:
    """A map with keys and values of plain integers.

    Keys are `key` cdata pointers: the caller allocates them once with ffi.new, so
    that the calls on the data path allocate nothing.
    """

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        self._lib = load_library()

    def update(self, key: Any, value: Any, flags: int = 0) -> None:
        """Set the value of `key`. Raises KernelError and its kin."""
        result = self._lib.bpf_map_update_elem(self.fd, key, value, flags)
        if result < 0:
            raise failure(f"add to the map {self.name}", -result)

    def lookup(self, key: Any, value: Any) -> bool:
        """Read the value of `key` into `value`; False when there is none."""
        return self._found(self._lib.bpf_map_lookup_elem(self.fd, key, value))

    def pop(self, value: Any) -> bool:
        """Take the head of a queue into `value`; False when it is empty."""
        return self._found(self._lib.bpf_map_lookup_and_delete_elem(self.fd, ffi.NULL, value))

    def delete(self, key: Any) -> bool:
        """Remove `key`; False when it was not there."""
        return self._found(self._lib.bpf_map_delete_elem(self.fd, key))

    def keys(self, ctype: str) -> Iterator[Any]:
        """Every key, as a pointer to `ctype` that the next step overwrites."""
        previous, key = ffi.NULL, ffi.new(f"{ctype} *")
        while self._found(self._lib.bpf_map_get_next_key(self.fd, previous, key)):
            yield key
            previous = key

    def view(self, ctype: str, entries: int) -> Any:
        """An mmapable array as a cdata array of `entries` times `ctype`, shared with BPF."""
        size = entries * int(ffi.sizeof(ctype))
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = mmap.mmap(self.fd, pages, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The cdata keeps the mapping alive, and the mapping keeps the map.
        return ffi.from_buffer(f"{ctype}[{entries}]", memory)

    def _found(self, result: int) -> bool:
        # For an empty slot sock_map_delete_elem() answers EINVAL, other maps ENOENT.
        if result in (-errno.ENOENT, -errno.EINVAL):
            return False
        check(result, f"use the map {self.name}")
        return True


def pin(fd: int, path: str) -> None:
    """Pin a map or program at `path`, on a bpffs."""
    check(load_library().bpf_obj_pin(fd, path.encode()), f"pin {os.path.realpath(path)}")


def open_pinned(path: str) -> int:
    """The file descriptor of what is pinned at `path`; the caller closes it."""
    return check(load_library().bpf_obj_get(path.encode()), f"open {os.path.realpath(path)}")


@contextlib.contextmanager
def pinned(path: str) -> Iterator[int]:
    """The same for the length of a `with`, which closes it."""
    fd = open_pinned(path)
    try:
        yield fd
    finally:
        os.close(fd)
