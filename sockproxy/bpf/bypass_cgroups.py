"""The cgroups of a bypass: links of its programs to each, pinned beside its maps.

    link@ID     by sock_ops sockets of the cgroup enter
    left@ID     by sock_ops those that have entered go on, and no others enter
    options@ID  its setsockopt(2) is looked at

A socket must not lose its sock_ops as long as it is in the bypass, which is to close its lanes when
it ends. So a cgroup that leaves keeps a link until the kernel says that it is gone, which it does
when the last socket of it is.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path

from sockproxy.bpf import check, ffi, load_library, pin, pinned
from sockproxy.bpf.bypass_roles import LEAVING, OPTIONS, PAIRING
from sockproxy.errors import SockproxyError, Unsupported

__all__ = ["Cgroups"]

ENTER, LEFT, OPTION = "link@", "left@", "options@"


class Cgroups:
    """Those of the bypass whose pins are in the directory `at`. Its lock is held while they are
    changed."""

    def __init__(self, at: Path) -> None:
        self._at = at
        self._lib = load_library()

    def entering(self) -> set[int]:
        """The ids of those whose sockets enter, gone ones among them."""
        return self._pinned(ENTER)

    def leaving(self) -> set[int]:
        """The ids of those that have left."""
        return self._pinned(LEFT)

    def add(self, number: int, cgroup: int) -> None:
        """From now on its sockets enter. number: its id. cgroup: a descriptor of it."""
        enter = self._at / f"{ENTER}{number}"
        if number in self.leaving():
            self._update(self._at / f"{LEFT}{number}", PAIRING.programs[0])
            (self._at / f"{LEFT}{number}").rename(enter)
            return
        # With the last, sockets enter.
        for program, path, kind in (
            (OPTIONS.programs[0], self._at / f"{OPTION}{number}", "BPF_CGROUP_SETSOCKOPT"),
            (PAIRING.programs[0], enter, "BPF_CGROUP_SOCK_OPS"),
        ):
            if (self._at / program).exists() and not path.exists():
                self._link(program, cgroup, kind, path)

    def keep(self, numbers: Collection[int]) -> None:
        """Of all others no socket enters from now on, and what is left of gone ones is removed.

        Raises Unsupported, with all as it was, where the kernel has refused what that takes.
        """
        others = self.entering() - set(numbers)
        if others and not (self._at / LEAVING.programs[0]).exists():
            raise Unsupported(LEAVING.without, hint="detach it, and attach it to the others")
        for number in others:
            (self._at / f"{ENTER}{number}").rename(self._at / f"{LEFT}{number}")
        for number in self.leaving():
            # Also those that were put in the other's place by a command that was killed then.
            if self._update(self._at / f"{LEFT}{number}", LEAVING.programs[0]):
                continue
            for prefix in (OPTION, LEFT):  # the second last: by it the next call finds both
                (self._at / f"{prefix}{number}").unlink(missing_ok=True)

    def _pinned(self, prefix: str) -> set[int]:
        names = [each for each in os.listdir(self._at) if each.startswith(prefix)]
        return {int(each.removeprefix(prefix)) for each in names}

    def _link(self, program: str, cgroup: int, kind: str, path: Path) -> None:
        with pinned(str(self._at / program)) as fd:
            doing = f"attach {program} to the cgroup"
            link = check(self._lib.bpf_link_create(fd, cgroup, _kind(kind), ffi.NULL), doing)
        try:
            pin(link, str(path))
        finally:
            os.close(link)

    def _update(self, path: Path, program: str) -> bool:
        """Have the link at `path` run another program; False where its cgroup is gone."""
        with pinned(str(path)) as link, pinned(str(self._at / program)) as fd:
            try:
                check(self._lib.bpf_link_update(link, fd, ffi.NULL), f"change {path.name}")
            except SockproxyError as error:
                if error.errno != errno.ENOLINK:
                    raise
                return False
        return True


def _kind(name: str) -> int:
    return int(ffi.typeof("enum bpf_attach_type").relements[name])
