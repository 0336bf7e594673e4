"""What a probe is given to try things with: it closes what it opened, whatever fails."""

from __future__ import annotations

import contextlib
import os
import select

import pytest

from sockproxy.cgroup import Cgroup
from sockproxy.doctor import trial
from sockproxy.doctor.trial import Trial, enrolling
from sockproxy.errors import KernelError


class Group(Cgroup):
    """A cgroup that is any directory."""

    removed = False

    @contextlib.contextmanager
    def entered(self):
        yield

    def remove(self):
        self.removed = True


class Kernel:
    """A kernel that attaches to a cgroup, or refuses to."""

    def __init__(self, error=None):
        self.error, self.closed = error, False
        self.fd = -1

    def watch_cgroup(self, fd):
        os.fstat(fd)  # it is open
        self.fd = fd
        if self.error is not None:
            raise self.error

    def close(self):
        self.closed = True


@pytest.mark.parametrize("error", [None, KernelError("attach")], ids=["taken", "refused"])
def test_the_cgroup_is_closed_whether_the_program_attaches_or_not(monkeypatch, tmp_path, error):
    group, kernel = Group(tmp_path), Kernel(error)
    monkeypatch.setattr(trial, "create_owned", lambda name: group)
    monkeypatch.setattr(trial, "SockmapKernel", lambda capacity: kernel)
    with (
        pytest.raises(KernelError) if error else contextlib.nullcontext(),
        enrolling() as given,
    ):
        assert given is kernel
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kernel.fd)
    assert (group.removed, kernel.closed) == (True, True)


def test_the_sockets_of_a_trial_are_seen_waiting():
    with contextlib.closing(Trial(5.0)) as made:
        one, other = made.tcp_pair()
        with one, other:
            assert one.gettimeout() == made.patience == 2.0
            one.sendall(b"!")
            assert other.recv(1) == b"!"
            with pytest.raises(FileExistsError):
                made._waiting.register(other, select.EPOLLIN)
        made.close()
