"""Which bypasses a worker may short-circuit in: what is attached, looked at once a second."""

from __future__ import annotations

import contextlib
import types
from pathlib import Path

import pytest

from sockproxy.cgroup import Cgroup
from sockproxy.errors import KernelError, PermissionDenied
from sockproxy.splicer import short_circuits as module
from sockproxy.splicer.short_circuits import NONE, ShortCircuits


class Attached:
    """What is attached, and what opens it: NAME to its identity, None for one without programs."""

    def __init__(self, monkeypatch):
        self.names, self.opened, self.stopped = {}, [], []
        self.refuses = None
        self.hidden = False
        monkeypatch.setattr(module, "names", self._list)
        monkeypatch.setattr(module, "open_pins", self._open_pins)
        monkeypatch.setattr(module, "identity", self._identify)
        monkeypatch.setattr(module, "BypassShortCircuit", self._open)
        monkeypatch.setattr(Cgroup, "opened", lambda cgroup: contextlib.nullcontext(3))

    def _list(self):
        if self.hidden:
            raise PermissionDenied("see what is attached")
        return sorted(self.names)

    def _open_pins(self, name):
        if name in self.names:
            return types.SimpleNamespace(name=name, close=lambda: None)
        return None

    def _identify(self, folder):
        if self.names[folder.name] is None:
            raise FileNotFoundError
        return self.names[folder.name]

    def _open(self, name, folder, cgroup):
        assert (folder.name, cgroup) == (name, 3)
        self._identify(folder)
        if self.refuses:
            raise self.refuses
        circuit = types.SimpleNamespace(name=name, identity=self.names[name])
        circuit.stop = lambda: self.stopped.append((name, circuit.identity))
        self.opened.append((name, circuit.identity))
        return circuit


class Worker:
    """Keeps what it is told, and the call that is due."""

    def __init__(self):
        self.circuits, self.why_no_circuits = (), ""
        self.loop = self
        self.due = None

    def set_circuits(self, circuits, why_none=""):
        self.circuits, self.why_no_circuits = circuits, why_none

    def later(self, seconds, call):
        assert seconds == module.LOOK
        self.due = call
        return types.SimpleNamespace(cancel=lambda: setattr(self, "due", None))


@pytest.fixture
def attached(monkeypatch):
    return Attached(monkeypatch)


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def circuits(attached, worker):
    made = ShortCircuits(worker, Cgroup(Path("/nowhere")))
    yield made
    made.close()
    assert worker.due is None
    assert attached.stopped == attached.opened


def names(worker):
    return [each.name for each in worker.circuits]


def test_what_comes_and_goes_is_taken_and_given_up(attached, worker, circuits):
    circuits.look()
    assert (names(worker), worker.why_no_circuits) == ([], NONE)
    attached.names = {"two": (1, 2), "one": (1, 1)}
    worker.due()
    assert names(worker) == ["one", "two"]
    del attached.names["one"]
    worker.due()
    worker.due()
    assert names(worker) == ["two"]
    assert attached.stopped == [("one", (1, 1))]


def test_another_of_the_same_name_is_another(attached, worker, circuits):
    attached.names = {"one": (1, 1)}
    circuits.look()
    attached.names = {"one": (1, 7)}
    worker.due()
    assert attached.opened == [("one", (1, 1)), ("one", (1, 7))]
    assert attached.stopped == [("one", (1, 1))]
    assert names(worker) == ["one"]


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("no programs", "another version has attached it, or the kernel refused them"),
        ("refused", "have one hear of"),
        ("hidden", "see what is attached"),
    ],
)
def test_what_cannot_be_had_is_said_once_and_tried_again(
    attached, worker, circuits, caplog, trouble, why
):
    caplog.set_level("INFO", "sockproxy.splicer")
    attached.names = {"one": None if trouble == "no programs" else (1, 1)}
    attached.refuses = KernelError("have one hear of sockets") if trouble == "refused" else None
    attached.hidden = trouble == "hidden"
    circuits.look()
    worker.due()
    assert why in worker.why_no_circuits
    assert worker.circuits == ()
    assert len([line for line in caplog.messages if why in line]) == 1
    attached.names, attached.refuses, attached.hidden = {"one": (1, 1)}, None, False
    worker.due()
    assert names(worker) == ["one"]
