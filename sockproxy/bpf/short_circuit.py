"""Short-circuit by one attached bypass: bpf/bypass/joint.h, as its pinned programs do it."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from typing import Any

from sockproxy import native
from sockproxy.bpf import check, failure, ffi, load_library, open_pinned
from sockproxy.bpf.bypass_roles import JOIN, MIDDLE
from sockproxy.rundir.folder import Folder

__all__ = ["BypassShortCircuit"]

BPF_CGROUP_SOCK_OPS: int = ffi.integer_const("BPF_CGROUP_SOCK_OPS")


class BypassShortCircuit:
    """The bypass NAME, which hears of the sockets of a proxy.

    folder: its pins, which stay the caller's. cgroup: a descriptor of the proxy's own; of sockets
    that are opened in it from now on it is noted who is at their other ends. That ends with stop(),
    or this process, however it ends.

    Raises SockproxyError where it cannot short-circuit, FileNotFoundError where it has none of the
    programs.
    """

    def __init__(self, name: str, folder: Folder, cgroup: int) -> None:
        self.name = name
        self.identity = identity(folder)
        self._link = ExitStack()
        with ExitStack() as closing:
            middle = open_pinned(str(folder.at(MIDDLE)))
            closing.callback(os.close, middle)
            join = open_pinned(str(folder.at(JOIN)))
            ours = ExitStack()
            ours.callback(os.close, join)
            closing.enter_context(ours)
            link = load_library().bpf_link_create(middle, cgroup, BPF_CGROUP_SOCK_OPS, ffi.NULL)
            check(link, f"have {name} hear of a proxy's sockets")
            self._link.callback(os.close, link)
            lib = native.load_native()
            try:
                self.native: Any = native.new(lib.circuit_new(join))
                ours.pop_all()  # it is the circuit's now
            except OSError as error:
                self._link.close()
                raise failure(f"join connections in {name}", error.errno or 0) from None
        # Connections that were joined in it ask on when it is detached; with the last it goes.
        self.close = weakref.finalize(self, lib.circuit_put, self.native)
        """Let go of it. Twice is allowed."""

    def stop(self) -> None:
        """Hear of no more sockets: it is detached. What is joined may ask. Twice is allowed."""
        native.load_native().circuit_stop(self.native)
        self._link.close()


def identity(folder: Folder) -> tuple[int, int]:
    """Tells a bypass from another of the same NAME. Raises FileNotFoundError where it has none of
    the programs."""
    about = os.stat(JOIN, dir_fd=folder.fd)
    return about.st_dev, about.st_ino
