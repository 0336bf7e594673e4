"""Probes of a bypass: messages that skip TCP between two sockets of a cgroup, and its programs."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import termios

from sockproxy.bpf import bypass_roles
from sockproxy.bpf.abi import Mode
from sockproxy.bpf.loading import Role
from sockproxy.bypass.left_alone import FIONREAD, FIONREAD_USERS
from sockproxy.doctor.probe import Commit, Kind, Probe, probe
from sockproxy.doctor.probes.enrolment import EARLY_STALLS
from sockproxy.doctor.probes.splice import COPIED_SEQ
from sockproxy.doctor.programs import program_probe
from sockproxy.doctor.trial import Trial, converse
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import BYPASS, OBSERVE

__all__ = ["PROBES"]

USERS = ", ".join(FIONREAD_USERS)


def _role_probe(role: Role) -> Probe:
    """A probe of one role of the bypass, which may be needed to bypass, or even to observe."""
    modes = {BYPASS: Mode.BYPASS, OBSERVE: Mode.OBSERVE}
    return program_probe(
        f"bypass: {role.name}",
        bypass_roles.OBJECT,
        (role,),
        lambda bpf: None,
        needed_by=tuple(name for name, mode in modes.items() if role in bypass_roles.NEEDED[mode]),
        limited=(BYPASS,) if role in bypass_roles.PROVING else (BYPASS, OBSERVE),
    )


@probe(
    "bypass",
    Kind.DOES,
    "use 'attach --observe', or only 'proxy', on this kernel",
    needed_by=(BYPASS,),
)
def bypass(trial: Trial) -> str:
    """Messages between two sockets of a cgroup skip TCP, and none is left behind by detach."""
    with trial.bypassed() as seen:
        one, other = trial.tcp_pair()
        one.settimeout(trial.patience)
        converse(one, other)
        one.close()
        other.close()
        past = seen("bypassed_messages")
    if not past:
        raise SockproxyError("no message was bypassed")
    return f"{past} of 16 messages skipped TCP"


@probe(
    "observe",
    Kind.DOES,
    "'attach' and 'run' are not to be had on this kernel; 'proxy' is",
    needed_by=(OBSERVE,),
)
def observe(trial: Trial) -> str:
    """A bypass that observes finds the two ends of a connection, and changes nothing."""
    with trial.bypassed(observe=True) as seen:
        one, other = trial.tcp_pair()
        with one, other:
            converse(one, other)
            paired, messages = seen("paired"), seen("bypassed_messages")
    if (paired, messages) != (1, 0):
        raise SockproxyError(f"{paired} of 1 connections paired, {messages} messages bypassed")
    return "both ends of a connection"


@probe(
    FIONREAD,
    Kind.BUG,
    f"'attach' leaves {USERS} alone; name others that ask with --except",
    limits={BYPASS: f"{USERS} stay on TCP"},
    brought_by=(
        Commit(
            "929e30f93125",
            "bpf, sockmap: Fix FIONREAD for sockmap",
            "6.18.14, 6.12.75, 6.6.128",
        ),
    ),
    mended_by=(
        Commit(
            "04af4efde58a",
            "bpf, sockmap: Account for receive queue in FIONREAD without a verdict program",
            "made in 2026-07",
        ),
    ),
)
def fionread(trial: Trial) -> str:
    """
    FIONREAD counts all that is there on an enrolled socket: what came by TCP, and what skipped it.

    From 929e30f93125 (6.6.128, 6.12.75, 6.18.14) to 04af4efde58a (2026-07) tcp_bpf_ioctl() counts
    what skipped TCP and forgets what came by TCP; kernels before have it the other way round. A
    program that asks before it reads waits for ever. Those that are known to ask are then left
    alone by `attach`, by name.
    """
    with trial.bypassed() as seen:
        one, other = trial.tcp_pair()
        with one, other:
            by_tcp = _is_counted(one, other)  # as nobody has answered yet
            converse(one, other)
            before = seen("bypassed_messages")
            past_tcp = _is_counted(one, other)
            if seen("bypassed_messages") == before:
                raise SockproxyError("not tried: the message was not bypassed")
    if not by_tcp or not past_tcp:
        raise SockproxyError(f"it forgets what {'skipped' if by_tcp else 'came by'} TCP")
    return "all that is there"


def _is_counted(one: socket.socket, other: socket.socket) -> bool:
    """Whether FIONREAD of `other` counts a byte that `one` sends."""
    one.sendall(b"!")
    other.recv(1, socket.MSG_PEEK)  # it is there
    (count,) = struct.unpack("i", fcntl.ioctl(other.fileno(), termios.FIONREAD, bytes(4)))
    other.recv(1)
    return bool(count == 1)


@probe(
    "late accept",
    Kind.BUG,
    "use 'attach --observe' on this kernel, and report it",
    needed_by=(BYPASS,),
    mended_by=EARLY_STALLS,
)
def late_accept(trial: Trial) -> str:
    """What comes before accept() is read after it, and the end of the stream wakes a poller.

    From 6.0 to 6.4, without ea444185 and 901546fd8f9c, data that came before accept() stalls on
    an enrolled socket, and a FIN gives EAGAIN in place of 0.
    """
    with trial.bypassed():
        return trial.accept_late()


@probe(
    "leave the bypass",
    Kind.BUG,
    "use 'attach --observe' on this kernel, and report it",
    needed_by=(BYPASS,),
    mended_by=(COPIED_SEQ,),
)
def leaves_bypass(trial: Trial) -> str:
    """A connection goes on when it is taken out of the bypass.

    From 6.0 to b40cc5a (2026-01) bytes that were read from the bypass queue could move copied_seq:
    TCP then waited for bytes that it had. See also CVE-2026-98925.
    """
    with trial.bypassed() as seen:
        one, other = trial.tcp_pair()
        converse(one, other)
        if not seen("bypassed_messages"):
            raise SockproxyError("not tried: no message was bypassed")
    with one, other:
        converse(one, other)
    return "by TCP, from where it was"


@probe(
    "splice reads",
    Kind.BUG,
    "programs that read with splice(2) are noticed, and stay on TCP; see docs/compatibility.md",
    limits={BYPASS: "who reads with splice(2) stays on TCP"},
)
def splice_reads(trial: Trial) -> str:
    """splice(2) reads what was bypassed.

    tcp_splice_read() looks into TCP's queue and not into the bypass queue (seen
    on 6.18.44, and so in the sources of 6.1 to 7.2). Programs that read so are noticed, and left to
    TCP; HAProxy is left alone by name.
    """
    source, sink = os.pipe()
    with trial.bypassed() as seen:
        one, other = trial.tcp_pair()
        one.settimeout(trial.patience)
        converse(one, other)
        before = seen("bypassed_messages")
        one.sendall(b"!")
        if seen("bypassed_messages") == before:
            raise SockproxyError("not tried: the message was not bypassed")
        try:
            moved = os.splice(other.fileno(), sink, 1, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            moved = 0
        finally:
            one.close()
            other.close()
            os.close(source)
            os.close(sink)
    if moved != 1:
        raise SockproxyError("it does not see what was bypassed")
    return "what was bypassed"


@probe(
    "urgent bytes",
    Kind.BUG,
    "leave programs that use MSG_OOB alone: 'attach --except' or '--deny'",
    limits={BYPASS: "MSG_OOB is an ordinary byte"},
)
def urgent(trial: Trial) -> str:
    """An urgent byte (MSG_OOB) is one on a bypassed connection too.

    bpf_tcp_ingress() has no urgent bytes. Where the sk_msg program can look at its system call
    it leaves such a message to TCP; where it cannot, the byte comes in its place, as others do.
    """
    with trial.bypassed():
        one, other = trial.tcp_pair()
        with one, other:
            converse(one, other)
            one.send(b"!", socket.MSG_OOB)
            other.settimeout(None)  # with one, Python waits for ordinary bytes before it asks
            ordinary, _, urgent = select.select([other], [], [other], trial.patience)
            if not ordinary and not urgent:
                raise TimeoutError("nothing came")
            if not urgent or other.recv(1, socket.MSG_OOB) != b"!":
                raise SockproxyError("it comes as any other byte")
    return "out of band"


PROBES = (
    *map(_role_probe, bypass_roles.ROLES),
    bypass,
    observe,
    fionread,
    late_accept,
    leaves_bypass,
    splice_reads,
    urgent,
)
