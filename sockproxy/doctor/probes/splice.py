"""Probes of splices: bytes that a stream parser and a verdict redirect from socket to socket."""

from __future__ import annotations

import socket
from contextlib import closing

from sockproxy.bpf import splice_roles
from sockproxy.bpf.abi import Action
from sockproxy.bpf.splice import SockmapKernel
from sockproxy.doctor.probe import KERNEL, Commit, Kind, probe
from sockproxy.doctor.programs import program_probe
from sockproxy.doctor.trial import Trial, splicer
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import socket_cookie
from sockproxy.proof.mechanisms import SPLICE, VERDICT_ONLY

__all__ = ["COPIED_SEQ", "PROBES"]

ROUNDS = 10
STALL_BYTES = 64 << 20
BLOCK = 1 << 16
PATTERN = b"".join(number.to_bytes(8, "big") for number in range(BLOCK // 8))

COPIED_SEQ = Commit(
    "b40cc5adaa80", "bpf, sockmap: Fix incorrect copied_seq calculation", "made in 2026-01"
)
"""Mended that bytes which TCP did not bring moved its copied_seq; the bypass has the same bug."""

moving_programs = program_probe(
    "splice: moving",
    splice_roles.OBJECT,
    (splice_roles.MOVING, splice_roles.INSPECTING),
    splice_roles.prepare,
    needed_by=(SPLICE,),
)
verdict_only_programs = program_probe(
    "verdict only",
    splice_roles.OBJECT,
    (splice_roles.MOVING_BLINDLY, splice_roles.INSPECTING),
    splice_roles.prepare,
    needed_by=(VERDICT_ONLY,),
)


@probe("redirect", Kind.DOES, KERNEL, needed_by=(SPLICE,))
def redirect(trial: Trial) -> str:
    """Bytes go from socket to socket in the kernel, and so does the end of the stream."""
    with splicer() as made:
        client, server, splice = trial.spliced_pair(made)
        client.sendall(b"request")
        echoed = server.recv(100)
        moved = splice.stats().forward.redirected
        client.shutdown(socket.SHUT_WR)
        end = server.recv(1)
        client.close()
        server.close()
    if (echoed, moved, end) != (b"request", 7, b""):
        raise SockproxyError(f"sent 7 bytes, received {len(echoed)}, {moved} by the kernel")
    return "7 bytes and an end of stream"


@probe("drop", Kind.DOES, KERNEL, needed_by=(SPLICE,))
def drop(trial: Trial) -> str:
    """A direction can be thrown away: what its verdict drops is gone, and its end still arrives."""
    with splicer() as made:
        client, server, splice = trial.spliced_pair(made)
        client.sendall(b"kept")
        kept = server.recv(100)
        splice.drop("forward")
        client.sendall(b"thrown away")
        client.shutdown(socket.SHUT_WR)
        rest = server.recv(100)
        client.close()
        server.close()
        dropped = splice.wait(trial.patience).forward.dropped
    if (kept, rest, dropped) != (b"kept", b"", 11):
        raise SockproxyError(f"kept {kept!r}, then {rest!r}, {dropped} of 11 bytes dropped")
    return "11 bytes, and the end of the stream after them"


@probe(
    "full target",
    Kind.DOES,
    "use a later kernel; 'proxy' relays until then",
    needed_by=(SPLICE,),
    mended_by=(
        Commit(
            "29173d07f798",
            "bpf, sockmap: Convert schedule_work into delayed_work",
            "6.4, 6.1.32",
        ),
    ),
)
def retries(_: Trial) -> str:
    """Redirected bytes that a full socket did not take are sent when it has room.

    Since 29173d07f798 (6.4, 6.1.32) the work of sk_psock_backlog() is a delayed one that comes
    back after EAGAIN. Before, nobody calls it again where the socket's own parser is not
    running, and the stream stalls for good: seen on 5.10, where both directions were held.
    """
    with closing(SockmapKernel(8)) as kernel:
        if not kernel.retries():
            raise SockproxyError("it does not try again")
    return "tried again"


@probe(
    "bounded memory",
    Kind.DOES,
    "this kernel does not stop a sender: use 'proxy --relay', and report it",
    needed_by=(SPLICE,),
    mended_by=(
        Commit(
            "3b4f14b79428",
            "bpf, sockmap: fix duplicated data transmission",
            "6.16, 6.12.35",
        ),
        Commit(
            "7683167196bd",
            "bpf, sockmap: Fix data lost during EAGAIN retries",
            "6.16, 6.12.35",
        ),
    ),
)
def bounded(trial: Trial) -> str:
    """A stalled reader stops its sender, and gets every byte in its place when it wakes.

    The kernel's own queue of redirected bytes has no bound (seen up to
    6.18.44, no fix known); the parser's "not now" has to hold the sender. A socket that is full
    takes parts of an skb: kernels without 3b4f14b79428 and 7683167196bd (6.12.35) could then send
    some of it twice, or not at all.
    """
    with splicer() as made:
        client, server, splice = trial.spliced_pair(made)
        for sock in (client, server):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, 1 << 18)
        client.settimeout(trial.patience / 4)
        taken = 0
        try:
            while taken < STALL_BYTES:
                # What is sent depends on where it stands, and the block on its number.
                start = taken % BLOCK
                taken += client.send(_expected(taken - start, BLOCK)[start:])
        except TimeoutError:
            pass
        received, right = 0, True
        client.close()
        while part := server.recv(BLOCK - received % BLOCK):
            start = received % BLOCK
            block = _expected(received - start, BLOCK)
            right = right and part == block[start : start + len(part)]
            received += len(part)
        server.close()
        holds = splice.wait(trial.patience).forward.holds
    if taken == received < STALL_BYTES and right and not holds:
        raise TimeoutError("the sender was stopped before anything was held")
    if taken >= STALL_BYTES or received != taken or not holds or not right:
        raise SockproxyError(
            f"{taken} bytes taken, {received} received, {'all right' if right else 'wrong ones'},"
            f" held {holds} times"
        )
    return f"blocked after {taken >> 20} MiB, all of it arrived"


def _expected(start: int, length: int) -> bytes:
    """A block of the stream, which begins at a multiple of BLOCK."""
    return (start // BLOCK).to_bytes(8, "big") + PATTERN[8:length]


@probe(
    "early data",
    Kind.BUG,
    "use 'proxy --relay' on this kernel, and report it",
    needed_by=(SPLICE,),
    mended_by=(
        Commit("0532a79efd68", "strparser: Add read_sock callback", "6.14"),
        Commit("36b62df5683c", "bpf: Fix wrong copied_seq calculation", "6.14"),
    ),
)
def early_data(trial: Trial) -> str:
    """Bytes that came before a socket was spliced are moved first, ten times over.

    Kernels without the fixes of 6.14 move copied_seq wrongly when a parser starts on a queue that
    holds something: the stream then stalls, or repeats.
    """
    with splicer() as made:
        for number in range(ROUNDS):
            client, near = trial.tcp_pair()
            server, far = trial.tcp_pair()
            early, late = b"early %d" % number, b" late %d" % number
            client.sendall(early)
            near.recv(1, socket.MSG_PEEK)  # it is there
            splice = made.splice(near, far)
            client.sendall(late)
            client.close()
            received = b""
            while part := server.recv(100):
                received += part
            server.close()
            splice.wait(trial.patience)
            if received != early + late:
                raise SockproxyError(f"round {number}: received {received!r}")
    return f"in order, {ROUNDS} times"


@probe(
    "leave the splice",
    Kind.BUG,
    "use 'proxy --relay' on this kernel, and report it",
    needed_by=(SPLICE,),
    mended_by=(COPIED_SEQ,),
)
def leaves_splice(trial: Trial) -> str:
    """A socket whose bytes were redirected can be read when it has left the sockmap.

    From 6.0 to b40cc5a (2026-01) redirected bytes could move copied_seq twice: TCP then waited for
    bytes that it had. See also CVE-2026-98925.
    """
    client, near = trial.tcp_pair()
    server, far = trial.tcp_pair()
    with closing(SockmapKernel(8)) as kernel, client, near, server, far:
        for _ in range(ROUNDS):
            slots = {sock: kernel.enrol(sock, socket_cookie(sock)) for sock in (near, far)}
            shared = kernel.direction(slots[near])
            shared.action, shared.target, shared.budget = Action.REDIRECT, slots[far], 1 << 20
            kernel.start(slots[near], near.fileno())
            client.sendall(b"redirected")
            if server.recv(100) != b"redirected":
                raise SockproxyError("what was redirected did not arrive")
            for sock, slot in slots.items():
                kernel.release(slot, socket_cookie(sock))
            client.sendall(b"plain")
            if (got := near.recv(100)) != b"plain":
                raise SockproxyError(f"then b'plain' was sent, and {got!r} read")
    return f"by TCP, from where it was, {ROUNDS} times"


@probe("pass", Kind.DOES, KERNEL, needed_by=(VERDICT_ONLY,))
def passes(trial: Trial) -> str:
    """What a verdict without a parser passes is read by the socket's own reader.

    A splice never passes an skb: where it does not redirect, the parser holds (see
    docs/decisions/0002-parser-path.md).
    """
    client, near = trial.tcp_pair()
    with closing(SockmapKernel(8, parser=False)) as kernel, client, near:
        slot = kernel.enrol(near, socket_cookie(near))
        kernel.direction(slot).action = Action.PASS
        kernel.start(slot, near.fileno())
        client.sendall(b"passed")
        got = near.recv(100)
        kernel.release(slot, socket_cookie(near))
    if got != b"passed":
        raise SockproxyError(f"b'passed' was sent, and {got!r} read")
    return "6 bytes"


@probe(
    "exact",
    Kind.BUG,
    "it is for measurements: 'proxy --verdict-only --force'",
    needed_by=(VERDICT_ONLY,),
)
def exact(_: Trial) -> str:
    """A verdict without a parser gives every byte once.

    It does not, on any kernel: tcp_read_skb() hands over whole skbs and does not look at
    copied_seq, so that a retransmitted segment which overlaps what was read comes twice; and
    nothing bounds what waits. See docs/decisions/0002-parser-path.md.
    """
    raise SockproxyError("segments that overlap come twice, and nothing bounds what waits")


PROBES = (
    moving_programs,
    verdict_only_programs,
    redirect,
    drop,
    retries,
    bounded,
    early_data,
    leaves_splice,
    passes,
    exact,
)
