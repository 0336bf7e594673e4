"""What attach, change and detach ask of the kernel and of pins, so that a test can put a fake in
its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sockproxy.bpf.abi import Mode, Plain, Proof
from sockproxy.bpf.bypass_settings import Settings
from sockproxy.bpf.listing import Connection
from sockproxy.bpf.loading import Role
from sockproxy.bpf.wakers import Wakers
from sockproxy.errors import SockproxyError
from sockproxy.rundir.locks import Waits

__all__ = ["Acceptors", "BypassKernel", "Held", "Loaded", "Made", "Opened"]

Acceptors = Mapping[tuple[int, int], Plain]
"""What listens already, by network namespace and port, and why what it accepts stays plain."""


class Held(Protocol):
    """The lock of a NAME is held: what may be done with its pins (sockproxy.rundir.pins.Held)."""

    @property
    def attached(self) -> bool:
        """Whether NAME was attached when the lock was taken."""

    def make(self) -> Path:
        """Make a directory aside, to be filled with pins; a path to it for calls."""

    def publish(self) -> None:
        """What was filled aside is NAME from now on."""

    def unpin(self, pin: str) -> None:
        """Remove a pin that lies aside; none is no error."""

    def discard(self) -> None:
        """Remove the directory aside, which is empty again; none is no error."""

    def remove(self) -> None:
        """Detach NAME: remove its pins."""


class Made(Protocol):
    """An attachment, or a program, which ends when it is closed and not pinned."""

    def pin(self, path: str) -> None:
        """Keep it at `path`, on a bpffs."""

    def close(self) -> None:
        """Leave it to its pin."""


class Loaded(Protocol):
    """The maps and programs of a bypass, which nobody can find yet."""

    def write(
        self, settings: Settings, proof: Proof, wakers: Wakers | None, acceptors: Acceptors
    ) -> None:
        """Fill the maps, for a bypass that enrols nothing until Opened.begin(): to take away one
        that does is to lose what was bypassed. proof, wakers: as write_settings() takes them."""

    def pin_map(self, name: str, path: str) -> None:
        """Keep a map at `path`, on a bpffs."""

    def attach(self, role: Role, program: str) -> Made:
        """Attach a program to where its role says; those for cgroups to none so far."""

    def close(self) -> None:
        """Close all; what is pinned stays."""


class Opened(Protocol):
    """A bypass that is attached (sockproxy.bpf.bypass.Bypass)."""

    @property
    def sees_sockmap(self) -> bool:
        """Whether take_out() can tell of each socket whether something is unread."""

    def settings(self) -> Settings:
        """The settings in force."""

    def why_not(self, mode: Mode) -> str:
        """What this attachment lacks of what `mode` needs, as a phrase; "" for nothing."""

    def change(self, settings: Settings, acceptors: Acceptors | None = None) -> None:
        """Put other settings in force; None leaves what is known of acceptors."""

    def cgroups(self) -> Collection[int]:
        """The ids of the cgroups whose sockets enter, gone ones among them."""

    def leaving(self) -> Collection[int]:
        """The ids of those that have left, whose last sockets may be in it."""

    def add(self, number: int, cgroup: int) -> None:
        """From now on its sockets enter. number: its id. cgroup: a descriptor of it."""

    def keep(self, numbers: Collection[int]) -> None:
        """Of all other cgroups no socket enters from now on; what is in the bypass goes on."""

    def begin(self, mode: Mode) -> bool:
        """Do what `mode` says from now on, as the last step of all, behind which nothing fails.

        Returns whether it is in vain: readers have to be known to do without FIONREAD, and nothing
        can show it.
        """

    def stop(self) -> None:
        """Enrol and bypass nothing from now on; when it returns no program does any more."""

    def take_out(self) -> Sequence[Connection]:
        """After stop(): take out of the sockmap each socket for which nothing is left; those that
        have to stay."""

    def in_map(self) -> int:
        """How many sockets are in the sockmap."""

    def close(self) -> None:
        """Close what was opened; the bypass stays attached."""


class BypassKernel(Protocol):
    """The kernel and the pins of this machine. Every method may raise SockproxyError; what it had
    begun is then undone."""

    def locked(
        self, name: str, waits: Waits, *, make: bool = True
    ) -> AbstractContextManager[Held | None]:
        """Hold the lock of NAME, as sockproxy.rundir.pins.locked() does."""

    def find_elsewhere(self, name: str) -> str:
        """Where NAME is, if only another mount namespace sees it; else ""."""

    def load(self, programs: Collection[str], connections: int) -> Loaded:
        """Load the object with these programs. connections: pairs of sockets at once."""

    def why_refused(self, role: Role, program: str) -> SockproxyError | None:
        """How the kernel refuses one program, tried by itself; None when it takes it."""

    def learn_wakers(self) -> Wakers:
        """By which functions this kernel wakes those who wait at a socket."""

    def open(self, name: str, held: Held) -> Opened:
        """The bypass NAME, whose lock is held; the caller closes it."""
