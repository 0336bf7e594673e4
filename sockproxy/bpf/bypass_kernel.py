"""The real kernel behind BypassKernel: bpf/bypass/bypass.bpf.c loaded, attached and pinned."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import replace

from sockproxy.bpf import BpfObject, pin
from sockproxy.bpf.abi import Mode, Proof
from sockproxy.bpf.bypass import MAPS, Bypass
from sockproxy.bpf.bypass_roles import OBJECT
from sockproxy.bpf.bypass_seam import Acceptors, Held, Made
from sockproxy.bpf.bypass_settings import Settings, write_settings
from sockproxy.bpf.loading import Role, load, why_refused
from sockproxy.bpf.plain_programs import note_acceptors
from sockproxy.bpf.wakers import Wakers, learn_wakers
from sockproxy.errors import SockproxyError
from sockproxy.rundir import pins
from sockproxy.rundir.locks import Waits
from sockproxy.rundir.sight import find_elsewhere

__all__ = ["PinnedBypasses"]

SIZED = (("peers", 2), ("sockets", 2), ("pairs", 2), ("free_pairs", 2))  # entries a connection


class PinnedBypasses:
    """BypassKernel on this machine."""

    def locked(
        self, name: str, waits: Waits, *, make: bool = True
    ) -> AbstractContextManager[pins.Held | None]:
        return pins.locked(name, waits, make=make)

    def find_elsewhere(self, name: str) -> str:
        return find_elsewhere(name)

    def load(self, programs: Collection[str], connections: int) -> LoadedBypass:
        def size(bpf: BpfObject) -> None:
            for each, entries in SIZED:
                bpf.set_max_entries(each, entries * connections)

        return LoadedBypass(load(OBJECT, programs, size))

    def why_refused(self, role: Role, program: str) -> SockproxyError | None:
        return why_refused(OBJECT, role, program)

    def learn_wakers(self) -> Wakers:
        return learn_wakers()

    def open(self, name: str, held: Held) -> Bypass:
        assert isinstance(held, pins.Held)
        return Bypass(name, held.open())


class LoadedBypass:
    """Loaded, as BPF programs and maps of this process."""

    def __init__(self, bpf: BpfObject) -> None:
        self._bpf = bpf

    def write(
        self, settings: Settings, proof: Proof, wakers: Wakers | None, acceptors: Acceptors
    ) -> None:
        maps = {each: self._bpf.map(each) for each in MAPS}
        write_settings(maps, replace(settings, mode=Mode.DRAIN), proof, wakers)
        note_acceptors(maps["acceptors"], acceptors)

    def pin_map(self, name: str, path: str) -> None:
        pin(self._bpf.map(name).fd, path)

    def attach(self, role: Role, program: str) -> Made:
        link = role.attach(self._bpf, program) if role.attach else None
        return link or self._bpf.program(program)

    def close(self) -> None:
        self._bpf.close()
