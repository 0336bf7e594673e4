"""Run probes, each in a process of its own, and say what follows for each mechanism."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sockproxy.cgroup import create_owned
from sockproxy.controller.doctor.probe import Finding, Kind, Probe
from sockproxy.controller.doctor.probes import PROBES
from sockproxy.controller.doctor.sockets import have_patience, tidy
from sockproxy.controller.mechanisms import MECHANISMS
from sockproxy.controller.verdicts import Verdict
from sockproxy.errors import CgroupError, PermissionDenied, SockproxyError
from sockproxy.net.namespace import Namespace

__all__ = ["PATIENCE", "examine", "verdicts"]

PATIENCE = 5.0  # seconds that a probe may take; one that takes longer counts as failed
ALL = 3  # times that: what all of them may take together
PR_SET_PDEATHSIG = 1
ENDING = (signal.SIGINT, signal.SIGTERM)
# What the machine lacks for the moment, or this process in its sandbox.
PASSING = {errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EAGAIN}


def examine(probes: Sequence[Probe] = PROBES, seconds: float = PATIENCE) -> Iterator[Finding]:
    """Try each: one that hangs or crashes has failed.

    What concerns only mechanisms that are off already is not tried: behind a gate it could
    crash the kernel, and elsewhere it would fail for the same reason, or hang.
    """
    off: dict[str, str] = {}
    end = time.monotonic() + ALL * seconds
    try:
        for probe in probes:
            concerned = [*probe.needed_by, *probe.limits]
            if probe.kind > Kind.GATE and concerned and off.keys() >= set(concerned):
                yield Finding(probe, False, f"see '{off[concerned[0]]}'", tried=False)
                continue
            left = end - time.monotonic()
            if left > 0:
                finding = _try(probe, min(seconds, left))
            else:
                finding = Finding(probe, False, "others had taken all the time", lasts=False)
            if not finding.ok:
                off = dict.fromkeys(probe.needed_by, probe.name) | off
            yield finding
    finally:
        _apart(max(seconds, PATIENCE), tidy)  # that is not what a hasty caller hastens


def _try(probe: Probe, seconds: float) -> Finding:
    answer = _apart(seconds, _attempt, probe, seconds)
    if answer is None:
        return Finding(probe, False, f"no result in {seconds:.3g} s", lasts=False)
    if isinstance(answer, int):
        return Finding(probe, False, f"the probe crashed ({answer})")
    ok, found, hint, log, lasts = answer
    return Finding(probe, ok, found, hint, log, lasts=lasts)


def _apart(seconds: float, do: Callable[..., Any], *arguments: Any) -> Any:
    """What `do` returns in a process of its own; None for no answer, the exit code of a crash."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    # A daemon: one that hangs inside of the kernel must not be waited for at exit either.
    child = context.Process(target=_inside, args=(sender, do, *arguments), daemon=True)
    try:
        with _signals_held():
            child.start()
        sender.close()
        return receiver.recv() if receiver.poll(seconds) else None
    except EOFError:
        child.join(0.5)
        return child.exitcode
    except OSError as error:
        raise SockproxyError("start a probe's process", errno=error.errno) from error
    finally:
        if child.ident is not None:
            child.join(0.2)
            child.kill()
            child.join(0.5)
        receiver.close()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """For a fork: what a signal raises inside of its hooks is printed, and forgotten."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def _inside(pipe: Any, do: Callable[..., Any], *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for doctor, which then ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    pipe.send(do(*arguments))


def _attempt(probe: Probe, seconds: float) -> tuple[bool, str, str | None, str | None, bool]:
    """(ok, found, hint, log, lasts)."""
    have_patience(seconds)
    try:
        with _private() if probe.kind > Kind.GATE else contextlib.nullcontext():
            return True, probe.run(), None, None, True
    except SockproxyError as error:
        passing = isinstance(error, CgroupError | PermissionDenied) or error.errno in PASSING
        return False, error.failure, error.hint, error.log, not passing
    except OSError as error:
        return False, str(error), None, None, error.errno not in PASSING
    except Exception as error:  # whatever breaks is a finding, not a crash of doctor
        return False, str(error) or type(error).__name__, None, None, True


@contextlib.contextmanager
def _private() -> Iterator[None]:
    """A network namespace and a cgroup of its own, where the machine's firewall, its ports and
    its bypasses do not matter; as far as they are to be had."""
    with contextlib.ExitStack() as inside:
        with contextlib.suppress(PermissionDenied):  # 'capabilities' tells it
            inside.enter_context(Namespace().entered())
        with contextlib.suppress(SockproxyError):
            group = create_owned("probe")
            inside.callback(group.remove)
            inside.enter_context(group.entered())
        yield


def verdicts(findings: Iterable[Finding]) -> dict[str, Verdict]:
    """What follows for each mechanism."""
    failed = [finding for finding in findings if finding.tried and not finding.ok]
    return {name: _verdict(name, failed) for name in MECHANISMS}


def _verdict(mechanism: str, failed: Sequence[Finding]) -> Verdict:
    probes = [each.probe for each in failed if mechanism in each.probe.limits]
    return Verdict(
        {each.probe.name: each.found for each in failed if mechanism in each.probe.needed_by},
        {probe.name: probe.limits[mechanism] for probe in probes},
    )
