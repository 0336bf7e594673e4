"""A kernel without BPF and pins without a bpffs, for what attaches, changes and detaches: each step
is noted, and any can fail."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import replace
from pathlib import PurePosixPath

from sockproxy.bpf.abi import Mode, Proof
from sockproxy.bpf.bypass_roles import NEEDED, RESULTS
from sockproxy.bpf.wakers import Wakers
from sockproxy.errors import KernelError, Unsupported

LEARN_WAKER = "learn_waker"  # the one program of wakers.bpf.o


class FakeBypassKernel:
    """BypassKernel that attaches nothing.

    fail: the number of the step that fails, from 1; or what a step is called that fails whenever it
    is tried. number: the errno of that failure. refused: programs that the kernel does not take.

    done: what was done, in its order, which is what the steps are called; undone: what was taken
    back. names: the pins of each NAME that is attached, and its settings.
    """

    def __init__(self, fail=0, number=errno.ENOMEM, refused=()):
        self.fail, self.number, self.refused = fail, number, set(refused)
        self.tried = 0
        self.done, self.undone = [], []
        self.names, self.aside = {}, {}
        self.live = []
        self.elsewhere = ""
        self.unread = []
        self.enrolled = 0
        self.sees_sockmap = True
        self.removing = lambda about: None

    def step(self, called):
        """Do it, unless it is to fail."""
        self.tried += 1
        if self.fail in (self.tried, called):
            raise KernelError(f"fake {called}", errno=self.number)
        self.done.append(called)

    def begin(self, what):
        self.live.append(what)

    def end(self, what, called):
        self.live.remove(what)
        self.undone.append(called)

    @property
    def left(self):
        """What still lives that no NAME has."""
        return self.live + list(self.aside)

    @contextlib.contextmanager
    def locked(self, name, waits, *, make=True):
        if name not in self.names and not make:
            yield None
            return
        self.step("lock")
        self.begin("lock")
        try:
            yield FakeHeld(self, name)
        finally:
            self.end("lock", "unlock")

    def find_elsewhere(self, name):
        return self.elsewhere

    def load(self, programs, connections):
        self.step("load")
        self._check_taken(programs)
        return FakeLoaded(self)

    def why_refused(self, role, program):
        try:
            self._check_taken([program])
        except Unsupported as error:
            return error
        return None

    def _check_taken(self, programs):
        for program in sorted(self.refused & set(programs)):
            log = f"{program}:\nrefused by a test"
            raise Unsupported("load bypass.bpf.o", errno=errno.EPERM, log=log)

    def learn_wakers(self):
        self.step("learn wakers")
        self._check_taken([LEARN_WAKER])
        return Wakers(1, 2, 3)

    def open(self, name, held):
        self.step("open")
        return FakeOpened(self, name)


class FakeHeld:
    """Held: pins are names in a set."""

    def __init__(self, kernel, name):
        self.kernel, self.name = kernel, name
        self.attached = name in kernel.names

    def make(self):
        self.kernel.step("make")
        self.kernel.aside[self.name] = {"pins": set(), "cgroups": set(), "left": set()}
        return PurePosixPath(self.name)

    def publish(self):
        self.kernel.step("publish")
        self.kernel.names[self.name] = self.kernel.aside.pop(self.name)

    def unpin(self, pin):
        pins = self.kernel.aside[self.name]["pins"]
        if pin in pins:
            pins.remove(pin)
            self.kernel.undone.append(f"unpin {pin}")

    def discard(self):
        if self.name in self.kernel.aside:
            assert not self.kernel.aside[self.name]["pins"], "the directory is not empty"
            del self.kernel.aside[self.name]
            self.kernel.undone.append("discard")

    def remove(self):
        self.kernel.step("remove")
        self.kernel.removing(self.kernel.names.pop(self.name))


class FakeLoaded:
    """Loaded: what it is told is kept beside the pins."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.told = {}
        kernel.begin("object")

    def write(self, settings, proof, wakers, acceptors):
        self.kernel.step("write")
        assert (wakers is not None) == (settings.mode is Mode.BYPASS)
        needed = settings.fionread_is_wrong and not settings.any_reader
        drains = replace(settings, mode=Mode.DRAIN)
        self.told = {"settings": drains, "proof": proof if needed else Proof.NONE}

    def pin_map(self, name, path):
        self._pin(path)

    def attach(self, role, program):
        self.kernel.step(f"attach {program}")
        return FakeMade(self, program)

    def _pin(self, path):
        name, pin = PurePosixPath(path).parts
        self.kernel.step(f"pin {pin}")
        self.kernel.aside[name]["pins"].add(pin)
        self.kernel.aside[name] |= self.told

    def close(self):
        self.kernel.end("object", "unload")


class FakeMade:
    """Made: ends when it is closed and has no pin."""

    def __init__(self, loaded, called):
        self.loaded, self.called = loaded, called
        self.pinned = False
        loaded.kernel.begin(called)

    def pin(self, path):
        self.loaded._pin(path)
        self.pinned = True

    def close(self):
        if self.pinned:
            self.loaded.kernel.live.remove(self.called)
        else:
            self.loaded.kernel.end(self.called, f"detach {self.called}")


class FakeOpened:
    """Opened: kernel.enrolled sockets are in the sockmap, of which kernel.unread have to stay."""

    def __init__(self, kernel, name):
        self.kernel = kernel
        self.about = kernel.names[name]
        self.sees_sockmap = kernel.sees_sockmap
        kernel.begin("opened")

    def begin(self, mode):
        self.kernel.step("begin")
        self.about["settings"] = replace(self.about["settings"], mode=mode)
        asks = mode is Mode.BYPASS and self.about["proof"] is not Proof.NONE
        return asks and not self._has(RESULTS)

    def settings(self):
        return self.about["settings"]

    def why_not(self, mode):
        return next((each.without for each in NEEDED[mode] if not self._has(each)), "")

    def _has(self, role):
        return bool(self.about["pins"] & set(role.programs))

    def cgroups(self):
        return sorted(self.about["cgroups"])

    def leaving(self):
        return sorted(self.about["left"])

    def add(self, number, cgroup):
        self.kernel.step("add")
        assert os.fstat(cgroup).st_ino == number
        self.about["cgroups"].add(number)
        self.about["left"].discard(number)

    def keep(self, numbers):
        self.kernel.step("keep")
        self.about["left"] |= self.about["cgroups"] - set(numbers)
        self.about["cgroups"] &= set(numbers)

    def change(self, settings, acceptors=None):
        self.kernel.step("change")
        self.about["settings"] = settings

    def stop(self):
        self.kernel.step("stop")
        self.about["settings"] = replace(self.about["settings"], mode=Mode.DRAIN)

    def take_out(self):
        self.kernel.step("take out")
        self.kernel.enrolled = len(self.kernel.unread)
        return list(self.kernel.unread) if self.kernel.sees_sockmap else []

    def in_map(self):
        self.kernel.step("count")
        return self.kernel.enrolled

    def close(self):
        self.kernel.live.remove("opened")
