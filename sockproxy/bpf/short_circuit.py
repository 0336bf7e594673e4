"""Short-circuit by one attached bypass: bpf/bypass/joint.h, as its pinned programs do it."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import ExitStack
from typing import Any

from sockproxy.bpf import Runner, check, ffi, load_library, open_pinned
from sockproxy.bpf.abi import Join, Refusal
from sockproxy.bpf.bypass_roles import JOIN, MIDDLE
from sockproxy.bpf.seam import Past
from sockproxy.errors import KernelError
from sockproxy.rundir.folder import Folder

__all__ = ["BypassShortCircuit"]

AT: int = ffi.integer_const("LOOKED_UP_AT")
WHYS = frozenset(Refusal)
PACKET = bytes(AT + ffi.sizeof("struct join"))
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
        self._lock = threading.Lock()
        self._opened, self._link = ExitStack(), ExitStack()
        self.stopped = False
        """Whether it is detached, so that nothing goes past in it any more."""
        try:
            with ExitStack() as closing:
                join = open_pinned(str(folder.at(JOIN)))
                self._opened.callback(os.close, join)
                middle = open_pinned(str(folder.at(MIDDLE)))
                closing.callback(os.close, middle)
                self._run = Runner(JOIN, join, PACKET)
                link = load_library().bpf_link_create(middle, cgroup, BPF_CGROUP_SOCK_OPS, ffi.NULL)
            check(link, f"have {name} hear of a proxy's sockets")
            self._link.callback(os.close, link)
            # Connections that were joined in it ask on when it is detached; with the last it goes.
            self.close = weakref.finalize(self, self._opened.close)
            """Ask no more. Twice is allowed."""
        except BaseException:
            self._opened.close()
            raise
        self._asked: Any = ffi.cast("struct join *", ffi.from_buffer(self._run.packet) + AT)

    def ask(self, action: Join, client: int, upstream: int) -> Past:
        with self._lock:
            asked = self._asked
            asked.client, asked.upstream, asked.action = client, upstream, action
            if not self._run() or asked.why not in WHYS:
                raise KernelError(f"short-circuit in {self.name}: it is of another version")
            return Past(
                Refusal(asked.why),
                bool(asked.busy),
                asked.unread,
                asked.forward_bytes,
                asked.forward_messages,
                asked.backward_bytes,
                asked.backward_messages,
            )

    def stop(self) -> None:
        """Hear of no more sockets: it is detached. What is joined may ask. Twice is allowed."""
        self.stopped = True
        self._link.close()


def identity(folder: Folder) -> tuple[int, int]:
    """Tells a bypass from another of the same NAME. Raises FileNotFoundError where it has none of
    the programs."""
    about = os.stat(JOIN, dir_fd=folder.fd)
    return about.st_dev, about.st_ino
