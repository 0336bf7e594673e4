"""Unix sockets for tests, by the names that sockproxy gives them."""

from __future__ import annotations

import socket
import subprocess
import sys

from sockproxy.net.unix import path_of
from tests.support.scale import patience
from tests.support.sockets import receive

ELSEWHERE = """
import array, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(bytes.fromhex(sys.argv[1]))
handed = array.array("i", [sock.fileno()])
socket.socket(fileno=0).sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handed)])
"""


def connect(address, timeout):
    """A socket that is connected to a (host, port), or ("unix:PATH", 0)."""
    if not address[0].startswith("unix:"):
        return socket.create_connection(address, timeout)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(path_of(address[0]))
    except BaseException:
        sock.close()
        raise
    return sock


def connect_elsewhere(name, timeout):
    """The same to a Unix socket, by another process, as which a proxy in this one knows it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-ISc", ELSEWHERE, path_of(name).hex()]
        subprocess.run(command, stdin=theirs, check=True, timeout=timeout)
        _, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
    sock = socket.socket(fileno=fd)
    sock.settimeout(timeout)
    return sock


def unix_server(name, backlog=1024):
    """A socket that listens there."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path_of(name))
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def serves(address, server):
    """Check that a client of a proxy at `address` reaches the listening socket `server`."""
    with connect(address, patience(10)) as client:
        served = server.accept()[0]
        with served:
            client.sendall(b"x")
            assert receive(served, 1) == b"x"
