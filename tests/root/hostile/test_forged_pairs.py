"""A local user who is root in namespaces of his own, in the cgroup of the bypass, and claims to be
one end of a connection of others: TCP_REPAIR lets him have any address, port and number."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import signal
import socket
import struct

import pytest

from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import connections, converse
from tests.support.hostile import as_nobody, run_as_nobody
from tests.support.sockets import eventually

pytestmark = [pytest.mark.root, pytest.mark.bpf]

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
RECEIVE, SEND = 1, 2  # TCP_RECV_QUEUE, TCP_SEND_QUEUE
NEW_USER_AND_NET = 0x10000000 | 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
FORGED = 50  # claims
_libc = ctypes.CDLL(None, use_errno=True)


def enter_namespaces():
    """User and network: root in there."""
    if _libc.unshare(NEW_USER_AND_NET):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def forge(source, target):
    """Connections from source to target that nobody has answered, with numbers by chance."""
    enter_namespaces()
    forged = []
    for _ in range(FORGED):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        for queue in (RECEIVE, SEND):
            sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
            number = struct.pack("I", random.getrandbits(32))
            sock.setsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, number)
        # One socket only can have both, in one network namespace.
        sock.bind((source[0], source[1] if not forged else 0))
        sock.connect(target)
        forged.append(sock)
    signal.pause()


def test_claims_by_chance_pair_with_nobody(bypassed):
    if error := run_as_nobody(enter_namespaces):
        pytest.skip(f"no namespaces for users on this machine: {error}")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        with as_nobody(forge, one.getsockname(), listener.getsockname()):
            eventually(lambda: len(connections()) >= FORGED, 60)
            one.connect(listener.getsockname())
            other, _ = listener.accept()
            with other:
                converse(one, other, times=10)
                seen = connections()
                cookies = [socket_cookie(each) for each in (one, other)]
                assert [seen[cookie]["peer"] for cookie in cookies] == cookies[::-1]
                assert seen[cookies[0]]["state"] == "bypassing"
                forged = [each for each in seen.values() if each["cookie"] not in cookies]
                assert len(forged) == FORGED
                assert {each["peer"] for each in forged} == {None}
                assert not any(each["bypassed_messages"] for each in forged)
            assert os.getpid() in seen[cookies[0]]["processes"]
