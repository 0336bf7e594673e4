"""An engine gets its kernel when doctor has found out, be that at once, later or never."""

from __future__ import annotations

import errno
import os
import signal
import threading

import pytest

import sockproxy
from sockproxy import proof
from sockproxy.errors import KernelError
from sockproxy.proof import ask, protocol, record
from sockproxy.proof.mechanisms import SPLICE
from sockproxy.proof.proof import Proof
from sockproxy.proof.protocol import Said
from sockproxy.splicer import acceleration, inquiry
from sockproxy.splicer.acceleration import Acceleration
from sockproxy.worker.door import Limits
from sockproxy.worker.engine import Engine
from tests.support.fake_kernel import FakeKernel
from tests.support.logs import Lines
from tests.support.sockets import eventually, receive, tcp_pair

ON, OFF = Proof(), Proof({"early data": "round 3"})
UNKNOWN = Proof(unknown={"redirect": "no result in 20 s"}, lasts=False)
DOCTOR = """#!/bin/sh
echo $$ >>{marks}
test -e {proof} && cat {proof}
test -e {hangs} && exec sleep 1000
exit {code}
"""


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """A doctor that is a shell script, in a world where nothing is kept."""
    monkeypatch.setattr(record, "runtime_root", lambda: tmp_path / "sockproxy")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(protocol.sys, "executable", str(tmp_path / "doctor"))
    monkeypatch.setattr(inquiry, "FIRST", 0.05)
    ask.forget()
    yield Doctor(tmp_path)
    ask.forget()


class Doctor:
    """What doctor will do, and how often it was asked."""

    def __init__(self, folder):
        self._folder = folder
        self._marks = folder / "marks"
        self._write(0)

    def _write(self, code):
        program = self._folder / "doctor"
        aside = self._folder / "aside"
        aside.write_text(
            DOCTOR.format(
                marks=self._marks,
                proof=self._folder / "proof",
                hangs=self._folder / "hangs",
                code=code,
            )
        )
        aside.chmod(0o700)
        aside.rename(program)

    def says(self, proof):
        """It ends having found that."""
        lines = [Said("a line"), Said(proofs={SPLICE: proof})]
        aside = self._folder / "said"
        aside.write_text("".join(f"{protocol.to_line(each)}\n" for each in lines))
        aside.rename(self._folder / "proof")

    def breaks(self, code):
        """It ends with that status and no word."""
        self._write(code)

    def hangs(self):
        """It does not end by itself."""
        (self._folder / "hangs").touch()

    @property
    def asked(self):
        """The pids it had."""
        return self._marks.read_text().split() if self._marks.exists() else []


class Running:
    """An engine on a thread of its own, with an acceleration."""

    def __init__(self, **options):
        self._lines, self.tried = Lines("sockproxy.splicer"), threading.Event()
        self.log = self._lines.lines
        self.events = []
        self.engine = Engine(Limits(eager=True), self.events.append)
        self.acceleration = Acceleration(self.engine, 4, tried=self.tried.set, **options)
        self.acceleration.begin()
        self.thread = threading.Thread(target=self.engine.loop.run)

    def __enter__(self):
        self.thread.start()
        return self

    def pair(self):
        """Two far ends of a pair."""
        client, a = tcp_pair()
        server, b = tcp_pair()
        for sock in (a, b):
            sock.setblocking(False)
        self.engine.loop.call(lambda: self.engine.add(a, b))
        return client, server

    def __exit__(self, *_):
        self.engine.loop.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.acceleration.close()
        self.acceleration.close()
        self.engine.close()
        self._lines.close()


@pytest.fixture
def kernels(monkeypatch):
    """Those that were made; before them come the errors in `kernels.refusals`."""

    class Kernels(list):
        def __init__(self):
            super().__init__()
            self.refusals = []

        def __call__(self, capacity, *, parser):
            if self.refusals:
                raise self.refusals.pop(0)
            self.append(FakeKernel(capacity))
            return self[-1]

    made = Kernels()
    monkeypatch.setattr(acceleration, "SockmapKernel", made)
    yield made
    assert all(each.closed for each in made)


def test_what_is_kept_is_used_at_once(doctor, kernels):
    ask.keep({SPLICE: ON})
    with Running() as run:
        assert run.engine.kernel is kernels[0]
        assert run.engine.why_not == ""
    assert not doctor.asked


def test_it_comes_later_and_what_was_there_before_stays(doctor, kernels):
    doctor.hangs()
    with Running() as run:
        client, server = run.pair()
        with client, server:
            client.sendall(b"before")
            assert receive(server, 6) == b"before"
            eventually(lambda: doctor.asked)
            assert not run.tried.is_set()
            assert "doctor is finding out" in run.engine.why_not
            before = run.engine.read().live[0]
            assert "doctor is finding out" in before.forward.why
            doctor.says(ON)
            os.kill(int(doctor.asked[0]), signal.SIGKILL)  # and the next one says so
            eventually(lambda: run.engine.kernel is not None)
            later = run.pair()
            with later[0], later[1]:
                for one, other in (later, (client, server)):
                    one.sendall(b"after")
                    assert receive(other, 5) == b"after"
                eventually(lambda: kernels[0].calls["start"])
            before, *_ = run.engine.read().live
            assert before.forward.redirected == 0
            assert "doctor is finding out" in before.forward.why
    assert any("accelerated from now on" in line for line in run.log)


@pytest.mark.parametrize("kind", ["unknown", "breaks"])
def test_what_was_not_found_out_is_asked_again(doctor, kernels, kind):
    doctor.says(UNKNOWN) if kind == "unknown" else doctor.breaks(3)
    with Running() as run:
        assert run.tried.wait(20)
        assert run.engine.kernel is None
        eventually(lambda: "could not find out" in run.engine.why_not)
        eventually(lambda: len(doctor.asked) > 2)
        assert run.acceleration.may_come
        doctor.says(ON)
        eventually(lambda: run.engine.kernel is not None, 20)
    told = [line for line in run.log if "could not find out" in line]
    assert len(told) == 1  # as long as it is the same
    assert ("no result in 20 s" if kind == "unknown" else "ended with status 3") in told[0]
    assert "trying again in" in told[0]


def test_without_a_prover_it_relays_and_asks_again(doctor, kernels, monkeypatch):
    monkeypatch.setattr(proof, "prover", "")
    with Running() as run:
        assert run.tried.wait(20)
        assert run.engine.kernel is None
        assert run.acceleration.may_come
        assert "doctor cannot be started: no prover is registered" in run.engine.why_not
    assert not doctor.asked
    assert not kernels


def test_off_is_off(doctor, kernels):
    doctor.says(OFF)
    with Running() as run:
        assert run.tried.wait(20)
        assert "splice is off on this kernel: early data: round 3" in run.engine.why_not
        assert not run.acceleration.may_come
    assert not kernels
    assert len(doctor.asked) == 1
    assert len([line for line in run.log if "is off" in line]) == 1
    assert "a line" in run.log


def test_a_kernel_short_of_memory_is_asked_again(doctor, kernels):
    ask.keep({SPLICE: ON})
    kernels.refusals = [KernelError("load", errno=errno.ENOMEM)] * 3
    with Running() as run:
        assert "ENOMEM" in run.engine.why_not
        eventually(lambda: run.engine.kernel is not None, 20)
    assert not kernels.refusals


def test_a_kernel_that_refuses_is_not(doctor, kernels):
    ask.keep({SPLICE: ON})
    kernels.refusals = [KernelError("load", errno=errno.EINVAL)] * 2
    with Running() as run:
        assert not run.acceleration.may_come
    assert len(kernels.refusals) == 1


def test_force_asks_nobody(doctor, kernels):
    with Running(force=True) as run:
        assert run.engine.kernel is kernels[0]
    assert not doctor.asked


def test_the_doctor_ends_with_who_asks(doctor, kernels):
    doctor.hangs()
    with Running():
        eventually(lambda: doctor.asked)
        pid = int(doctor.asked[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_splicer_need_not_wait(doctor, kernels):
    doctor.hangs()
    with sockproxy.Splicer(wait=False) as splicer:
        assert not splicer.accelerated
        assert "doctor is finding out" in splicer.why_not
        client, a = tcp_pair()
        server, b = tcp_pair()
        with client, server:
            splicer.splice(a, b)
            client.sendall(b"meanwhile")
            assert receive(server, 9) == b"meanwhile"
            eventually(lambda: doctor.asked)
            doctor.says(ON)
            os.kill(int(doctor.asked[0]), signal.SIGKILL)
            eventually(lambda: splicer.accelerated, 20)
            assert splicer.why_not == ""


def test_a_splicer_waits_and_may_be_told_that_nobody_knows(doctor, kernels):
    doctor.says(UNKNOWN)
    with sockproxy.Splicer() as splicer:
        assert "could not find out" in splicer.why_not


def test_the_pauses_grow_to_a_minute():
    backoff = inquiry.Backoff()
    assert [backoff.next() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
