"""What this machine can do: each check tries the thing itself."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sockproxy.cgroup import create_owned, find_mount, sweep
from sockproxy.controller.bypass import BypassOptions, attach, detach
from sockproxy.controller.bypass_view import bypass_status
from sockproxy.controller.splicer import Splicer
from sockproxy.errors import SockproxyError, Unsupported
from sockproxy.kernel import SockmapKernel
from sockproxy.libbpf import load_library, version

__all__ = ["CHECKS", "Check", "Finding", "examine", "verdicts"]

CAPABILITIES = {12: "CAP_NET_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}
CAP_SYS_ADMIN = 21
STALL_BYTES = 64 << 20
SECONDS = 8.0  # that a check may take; one that takes longer counts as failed


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to try. `run` returns what was found, or raises; `hint` says what to do then.

    needed_by: the mechanisms that are off without it.
    """

    name: str
    needed_by: tuple[str, ...]
    run: Callable[[], str]
    hint: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check. hint: what to do about it, where the failure itself knows."""

    check: Check
    ok: bool
    found: str
    hint: str | None = None
    log: str | None = None

    @property
    def advice(self) -> str:
        """What to do about a failure; empty when there is none."""
        return "" if self.ok else self.hint or self.check.hint


def check_libbpf() -> str:
    """libbpf.so.1 can be loaded."""
    load_library()
    return version()


def check_btf() -> str:
    """The kernel describes its own types."""
    return f"{Path('/sys/kernel/btf/vmlinux').stat().st_size} bytes"


def check_capabilities() -> str:
    """The capabilities that loading and attaching need."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    if effective >> CAP_SYS_ADMIN & 1:
        return "CAP_SYS_ADMIN"
    missing = [name for bit, name in CAPABILITIES.items() if not effective >> bit & 1]
    if missing:
        raise SockproxyError(f"missing: {', '.join(missing)}")
    return ", ".join(CAPABILITIES.values())


def check_cgroup() -> str:
    """cgroup v2 is mounted."""
    return str(find_mount())


def check_programs() -> str:
    """The verifier takes the programs, and a sockmap takes parser and verdict."""
    SockmapKernel(8).close()
    return "sock_ops, stream parser, stream verdict"


def check_verdict_only() -> str:
    """The variant without a parser loads."""
    SockmapKernel(8, parser=False).close()
    return "for measurements only: not exact, not bounded"


def check_sock_ops() -> str:
    """sock_ops attaches to a cgroup and enrols what is established there."""
    sweep()
    group = create_owned("doctor")
    kernel = None
    try:
        group.enter()
        kernel = SockmapKernel(8)
        fd = group.open()
        kernel.watch_cgroup(fd)
        os.close(fd)
        for sock in tcp_pair():
            sock.close()
        enrolled = kernel.enrolments()["enrolled"]
    finally:
        if kernel is not None:
            kernel.close()
        group.remove()
    if enrolled != 2:
        raise SockproxyError(f"{enrolled} of 2 sockets were enrolled")
    return "attached, both ends of a connection enrolled"


def check_redirect() -> str:
    """Bytes go from socket to socket in the kernel, and so does the end of the stream."""
    with Splicer(pairs=2, eager=True) as splicer:
        client, server, splice = spliced_pair(splicer)
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


def check_bound() -> str:
    """A stalled reader stops its sender, and gets everything when it wakes."""
    with Splicer(pairs=2, eager=True) as splicer:
        client, server, splice = spliced_pair(splicer)
        for sock in (client, server):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, 1 << 18)
        client.settimeout(0.5)
        taken = 0
        try:
            while taken < STALL_BYTES:
                taken += client.send(bytes(1 << 16))
        except TimeoutError:
            pass
        received = 0
        client.close()
        while part := server.recv(1 << 20):
            received += len(part)
        server.close()
        holds = splice.wait(SECONDS).forward.holds
    if taken >= STALL_BYTES or received != taken or not holds:
        raise SockproxyError(f"{taken} bytes taken, {received} received, held {holds} times")
    return f"blocked after {taken >> 20} MiB, all of it arrived"


def check_bypass() -> str:
    """Messages between two sockets of a cgroup skip TCP, and none is left behind by detach."""
    sweep()
    name = f"doctor-{os.getpid()}"
    group = create_owned("doctor")
    try:
        attach(name, group.path, BypassOptions(connections=8))
        try:
            with group.entered():
                one, other = tcp_pair()
            one.settimeout(SECONDS / 4)
            for number in range(4):
                one.sendall(bytes([number]))
                answer = other.recv(2)
                other.sendall(answer)
                if one.recv(2) != bytes([number]):
                    raise SockproxyError(f"message {number} came back as another")
            one.close()
            other.close()
            past = bypass_status(name)["bypassed_messages"]
        finally:
            detach(name, SECONDS / 4)
    finally:
        group.remove()
    if not past:
        raise SockproxyError("no message was bypassed")
    return f"{past} of 8 messages skipped TCP"


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=SECONDS / 2)
        server, _ = listener.accept()
    server.settimeout(SECONDS / 2)
    return client, server


def spliced_pair(splicer: Splicer) -> tuple[socket.socket, socket.socket, Any]:
    """Two far ends, and the splice between them."""
    if not splicer.accelerated:
        raise Unsupported("not tried: the programs do not load", hint="see 'programs load'")
    client, near = tcp_pair()
    server, far = tcp_pair()
    return client, server, splicer.splice(near, far)


SPLICE, ENROL, VERDICT_ONLY = "splice", "sock_ops enrolment", "splice, verdict only"
BYPASS = "bypass"
KERNEL = "use a kernel with CONFIG_BPF_STREAM_PARSER, CONFIG_CGROUP_BPF and CONFIG_DEBUG_INFO_BTF"

CHECKS = (
    Check("libbpf", (SPLICE, ENROL, BYPASS, VERDICT_ONLY), check_libbpf,
          "install libbpf 1.0 or later (Debian: apt install libbpf1)"),
    Check("capabilities", (SPLICE, ENROL, BYPASS, VERDICT_ONLY), check_capabilities,
          "run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"),
    Check("kernel BTF", (SPLICE, ENROL, BYPASS, VERDICT_ONLY), check_btf,
          "use a kernel with CONFIG_DEBUG_INFO_BTF"),
    Check("cgroup v2", (ENROL, BYPASS), check_cgroup,
          "mount -t cgroup2 none /sys/fs/cgroup/unified"),
    Check("programs load", (SPLICE, ENROL), check_programs, KERNEL),
    Check("sock_ops", (ENROL,), check_sock_ops, KERNEL),
    Check("redirect", (SPLICE,), check_redirect, KERNEL),
    Check("bounded memory", (SPLICE,), check_bound,
          "this kernel does not stop a sender: use 'proxy --relay', and report it"),
    Check("bypass", (BYPASS,), check_bypass,
          "use 'attach --observe', or only 'proxy', on this kernel"),
    Check("verdict only", (VERDICT_ONLY,), check_verdict_only, KERNEL),
)  # fmt: skip


def attempt(check: Check, pipe: Any) -> None:
    """In a process of its own: try, and send (ok, found, hint, log)."""
    try:
        pipe.send((True, check.run(), None, None))
    except SockproxyError as error:
        pipe.send((False, error.failure, error.hint, error.log))
    except Exception as error:  # whatever breaks is a finding, not a crash of doctor
        pipe.send((False, str(error) or type(error).__name__, None, None))


def examine(checks: tuple[Check, ...] = CHECKS, seconds: float = SECONDS) -> Iterator[Finding]:
    """Try each check in a child process: one that hangs or crashes has failed."""
    context = multiprocessing.get_context("fork")
    for check in checks:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=attempt, args=(check, sender))
        child.start()
        sender.close()
        try:
            if receiver.poll(seconds):
                yield Finding(check, *receiver.recv())
            else:
                yield Finding(check, False, f"no result in {seconds:g} s")
        except EOFError:
            child.join()
            yield Finding(check, False, f"the check crashed ({child.exitcode})")
        finally:
            if child.is_alive():
                child.join(0.5)
                child.kill()
            child.join()
            receiver.close()


def verdicts(findings: list[Finding]) -> dict[str, list[str]]:
    """For each mechanism the failed checks that it needs; none means that it is on."""
    mechanisms: dict[str, list[str]] = {}
    for finding in findings:
        for mechanism in finding.check.needed_by:
            failed = mechanisms.setdefault(mechanism, [])
            if not finding.ok:
                failed.append(finding.check.name)
    return mechanisms
