"""A bypass that is attached, opened by its NAME: what it tells, how it is changed and drained."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import replace

from sockproxy.bpf import Map, ffi, pinned
from sockproxy.bpf.abi import Mode, Plain, Proof, read_counters
from sockproxy.bpf.barrier import wait_for_programs
from sockproxy.bpf.bypass_cgroups import Cgroups
from sockproxy.bpf.bypass_roles import ASKING, NEEDED, RESULTS, proof_of
from sockproxy.bpf.bypass_settings import Settings, read_knobs, read_settings, write_settings
from sockproxy.bpf.listing import Connection, Listed, Listing
from sockproxy.bpf.loading import Role
from sockproxy.bpf.observed import Observed, read_observed
from sockproxy.bpf.plain_programs import note_acceptors
from sockproxy.bpf.wakers import learn_wakers
from sockproxy.rundir.folder import Folder
from sockproxy.rundir.pins import open_pins
from sockproxy.rundir.sight import no_such

__all__ = ["MAPS", "Bypass"]

MAPS = (
    "settings",
    "knobs",
    "totals",
    "sockets",
    "left_alone",
    "acceptors",
    "namespaces",
    "wakers",
    "drains",
)  # are pinned, as user space reads and writes them; the programs keep the others alive


class Bypass:
    """An attached bypass. Reading changes nothing.

    folder: its pins, where they are open already; it closes them.

    Raises UsageError when there is none of that NAME.
    """

    def __init__(self, name: str, folder: Folder | None = None) -> None:
        self.name = name
        folder = folder or open_pins(name)
        if folder is None:
            raise no_such(name)
        self.place = folder.path
        """The directory of its pins, for people to read."""
        self._at = folder.at()
        self._cgroups = Cgroups(self._at)
        self._maps: dict[str, Map] = {}
        self._opened = contextlib.ExitStack()
        self._opened.callback(folder.close)
        try:
            for each in MAPS:
                fd = self._opened.enter_context(pinned(str(self._at / each)))
                self._maps[each] = Map(each, fd)
            self._listing = Listing(name, self._at, self._cookies, self._namespaces)
            self._opened.callback(self._listing.close)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close what was opened; the bypass stays attached. Twice is allowed."""
        self._opened.close()

    def __enter__(self) -> Bypass:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def settings(self) -> Settings:
        """The settings in force."""
        settings, knobs = read_settings(self._maps)
        has_results, proof = self._has(RESULTS), Proof(knobs.proof)
        return replace(
            settings,
            fionread_is_wrong=has_results or self._has(ASKING) or proof is not Proof.NONE,
            any_reader=has_results and proof is Proof.NONE,
        )

    @property
    def proof(self) -> Proof:
        """What readers are known by before they are enrolled."""
        return Proof(read_knobs(self._maps).proof)

    def change(
        self, settings: Settings, acceptors: Mapping[tuple[int, int], Plain] | None = None
    ) -> None:
        """Put other settings in force; connections that are denied now are passed.

        acceptors: as note_acceptors() takes them; None leaves what is known.
        """
        knobs = read_knobs(self._maps)
        if acceptors is not None:
            note_acceptors(self._maps["acceptors"], acceptors)
        proof = proof_of(ASKING.programs if self._has(ASKING) else ())
        wakers = learn_wakers() if settings.mode is Mode.BYPASS else None
        before = int(knobs.which), int(knobs.version)
        write_settings(self._maps, settings, proof, wakers, before)

    def cgroups(self) -> Collection[int]:
        """The ids of the cgroups whose sockets enter, gone ones among them, in some order."""
        return sorted(self._cgroups.entering())

    def leaving(self) -> Collection[int]:
        """The ids of those that have left, whose last sockets may be in it."""
        return sorted(self._cgroups.leaving())

    def add(self, number: int, cgroup: int) -> None:
        """From now on its sockets enter. number: its id. cgroup: a descriptor of it."""
        self._cgroups.add(number, cgroup)

    def keep(self, numbers: Collection[int]) -> None:
        """Of all other cgroups no socket enters from now on; what is in the bypass goes on.

        Raises Unsupported where the kernel refused a program that it takes.
        """
        self._cgroups.keep(numbers)

    def begin(self, mode: Mode) -> bool:
        """Do what `mode` says from now on: the last step of an attach, as behind it there are
        sockets that only a detach lets go without loss.

        Returns whether readers have to be known to do without FIONREAD, and nothing can show it.
        """
        knobs = read_knobs(self._maps)
        asks_for_proof = mode is Mode.BYPASS and knobs.proof != Proof.NONE
        is_in_vain = asks_for_proof and not self._has(RESULTS)
        if knobs.mode != mode:
            knobs.mode = mode
            self._maps["knobs"].update(ffi.new("uint32_t *", 0), knobs)
        return is_in_vain

    def stop(self) -> None:
        """Enrol and bypass nothing from now on; when it returns no program does any more."""
        settings = self.settings()
        if settings.mode != Mode.DRAIN:
            self.change(replace(settings, mode=Mode.DRAIN))
        wait_for_programs()

    def take_out(self) -> list[Connection]:
        """After stop(): take out of the sockmap each socket for which nothing is left.

        Returns those that have to stay, with what is unread. `in_map()` tells how many are
        not out: the list may miss a socket while others close, or see none on this kernel.
        """
        sockets = self._maps["sockets"]
        stay = []
        for cookie, each in self._listing.in_map().items():
            if each.unread:
                stay.append(each)
            else:
                sockets.delete(ffi.new("uint64_t *", cookie))
        return stay

    def in_map(self) -> int:
        """How many sockets are in the sockmap."""
        return len(self._cookies())

    def _cookies(self) -> list[int]:
        return [int(key[0]) for key in self._maps["sockets"].keys("uint64_t")]

    def totals(self) -> dict[str, int]:
        """What was counted since it was attached, by the names of struct bypass_totals."""
        raw = ffi.new("struct bypass_totals *")
        self._maps["totals"].lookup(ffi.new("uint32_t *", 0), raw)
        return read_counters(raw[0])

    def observed(self) -> dict[tuple[str, int], Observed]:
        """What it has found out of services while it only observed: see read_observed()."""
        return read_observed(self._at)

    @property
    def lists_by(self) -> str:
        """In which way sockets are listed: Listing.how."""
        return self._listing.how

    @property
    def sees_sockmap(self) -> bool:
        """Whether take_out() can tell of each socket whether something is unread."""
        return self._listing.sees_sockmap

    def listed(self) -> Listed:
        """Every enrolled socket, of any network namespace."""
        return self._listing.all()

    def _has(self, role: Role) -> bool:
        return any((self._at / each).exists() for each in role.programs)

    def why_not(self, mode: Mode) -> str:
        """What this attachment lacks of what `mode` needs, as a phrase; "" for nothing."""
        for role in NEEDED.get(mode, ()):
            if not self._has(role):
                return role.without
        return ""

    def _namespaces(self) -> dict[int, int]:
        """How many enrolled sockets each network namespace has, by its inode."""
        found, value = {}, ffi.new("uint64_t *")
        for key in self._maps["namespaces"].keys("uint32_t"):
            if self._maps["namespaces"].lookup(key, value) and value[0]:
                found[int(key[0])] = int(value[0])
        return found
