"""The cgroup of a proxy, whose sockets the kernel enrols as they are established."""

from __future__ import annotations

import logging

from sockproxy.bpf.seam import SpliceKernel
from sockproxy.cgroup import Cgroup, create_owned, sweep
from sockproxy.errors import SockproxyError
from sockproxy.proof.ask import why_not_proved
from sockproxy.proof.mechanisms import ENROL
from sockproxy.proof.proof import Proof
from sockproxy.splicer.inquiry import Inquiry
from sockproxy.worker.door import Loop

__all__ = ["Enrolment"]

log = logging.getLogger("sockproxy.proxy")


class Enrolment:
    """enter() comes before the first socket is opened, as a socket is of the cgroup in which it
    was; begin() when there is a kernel. What is not enrolled so, is when it is paired.

    cgroup_id: the kernel's number of it; 0 while there is none.
    why_not: why sockets are not enrolled as they are established; "" where they are.
    force: do it even where doctor found that it does not work.
    """

    def __init__(self, loop: Loop, name: str, *, force: bool) -> None:
        self.why_not = ""
        self.cgroup_id = 0
        self._loop, self._name, self._force = loop, name, force
        self._cgroup: Cgroup | None = None
        self._inquiry: Inquiry | None = None

    def enter(self) -> None:
        """Be in a cgroup of our own, if one is to be had."""
        try:
            sweep()
            self._cgroup = create_owned(self._name)
            self._cgroup.enter()
            self.cgroup_id = self._cgroup.id
        except SockproxyError as error:
            self.why_not = str(error)

    @property
    def cgroup(self) -> Cgroup | None:
        """Our own, in which we are; None where none was to be had."""
        return self._cgroup

    def begin(self, kernel: SpliceKernel) -> None:
        """Enrol as soon as doctor allows it."""
        if self.why_not:
            self._have_none(self.why_not)
        elif self._force:
            self._watch(kernel)
        else:
            self._inquiry = Inquiry(
                self._loop,
                ENROL,
                found=lambda proof: self._on_found(kernel, proof),
                undecided=self._on_undecided,
                told=lambda line: None,
            )
            self._inquiry.begin()

    def _on_found(self, kernel: SpliceKernel, proof: Proof) -> None:
        if proof.on:
            self._watch(kernel)
        else:
            self._have_none(why_not_proved(ENROL))

    def _on_undecided(self, why: str, _seconds: float) -> None:
        self.why_not = f"could not find out whether {ENROL} works here: {why}"

    def _watch(self, kernel: SpliceKernel) -> None:
        assert self._cgroup is not None
        try:
            with self._cgroup.opened() as fd:
                kernel.watch_cgroup(fd)
        except SockproxyError as error:
            self._have_none(str(error))
        else:
            self.why_not = ""

    def _have_none(self, why: str) -> None:
        self.why_not = why
        log.warning(f"no cgroup of its own: {why}")

    def stop(self) -> None:
        """Ask no more. Twice is allowed."""
        if self._inquiry is not None:
            self._inquiry.close()

    def leave(self) -> None:
        """Be where we were before, and remove the cgroup. Twice is allowed."""
        if self._cgroup is not None:
            cgroup, self._cgroup, self.cgroup_id = self._cgroup, None, 0
            cgroup.remove()
