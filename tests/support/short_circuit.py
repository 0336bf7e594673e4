"""Conversations that go past a proxy: what all of their tests do."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time

from tests.support.bypass import ALL_READERS, NAME, converse, finish_talk, sockproxy, start_talk
from tests.support.proxy import ROOT, running_proxy
from tests.support.scale import patience
from tests.support.sockets import receive, seen_waiting

EAGER = ("--eager",)  # joined at the first byte, and not when it is known for a conversation
QUICK = 50  # turns that take no time but their own
SAYS = f"within the bypass {NAME} are short-circuited"


def attach(group, *options, name=NAME):
    """Have every reader of the cgroup bypassed, by the command line."""
    sockproxy("attach", name, "--cgroup", group.path, *ALL_READERS, *options)


@contextlib.contextmanager
def listening(host="127.0.0.1"):
    """A listener that a test accepts from by hand. Each test has its own: a bypass remembers of a
    service whether its connections gained anything."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=1024) as sock:
        sock.settimeout(patience(20))
        yield sock


class Past:
    """A server, and the proxy in front of it."""

    def __init__(self, proxy, listener):
        self.proxy, self.listener = proxy, listener

    def connect(self, address=None):
        """A client's socket and the server's, seen waiting, connected through the proxy."""
        client = socket.create_connection(address or self.proxy.address, patience(20))
        server, _ = self.listener.accept()
        server.settimeout(patience(20))
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            seen_waiting(sock)
        return client, server

    def talk(self, **spec):
        """Start a talk through the proxy: its processes, as start_talk() has them."""
        return start_talk(pair=self.connect(), **spec)

    def finish(self, *talks, timeout=240):
        """Wait for talks; why one went wrong, with what the proxy has to say of it."""
        try:
            return sum(finish_talk(each, timeout) for each in talks)
        except AssertionError as error:
            error.add_note(self.proxy.stderr())
            raise

    def row(self):
        """The one connection, as `sockproxy connections --json` has it."""
        (row,) = self.proxy.connections()
        return row

    def total(self):
        """Bytes that went past the proxy, of all connections there were."""
        return self.proxy.status()["short_circuited"]


@contextlib.contextmanager
def past(*options, host="127.0.0.1", listen="127.0.0.1:0", says=SAYS, **more):
    """A listener, and a proxy before it that has found what is attached."""
    with (
        listening(host) as listener,
        running_proxy(address_of(listener), *options, listen=listen, **more) as proxy,
    ):
        if says:
            proxy.says(says)
        yield Past(proxy, listener)


def address_of(listener):
    """(host, port) as the command line takes it."""
    host, port = listener.getsockname()[:2]
    return (f"[{host}]" if ":" in host else host), port


@contextlib.contextmanager
def joined(mesh, address=None, size=1):
    """The client's and the server's socket of a connection whose messages go past the proxy."""
    client, server = mesh.connect(address)
    with client, server:
        until_past(client, server, size)
        yield client, server


def until_past(client, server, size=1, most=200):
    """Converse until a message was put into the receive queue of each past the proxy: told by a
    count of TCP that stays where it is. Turns that it took."""
    for turn in range(most):
        before = counted(client), counted(server)
        for source, target in ((client, server), (server, client)):
            source.sendall(b"." * size)
            receive(target, size)
        if (counted(client), counted(server)) == before:
            return turn
        if turn > QUICK:
            time.sleep(patience(0.01))  # on a busy machine the proxy may not have run since
    raise AssertionError(f"not past the proxy after {most} turns")


@contextlib.contextmanager
def chain_of(count):
    """So many proxies in a row: a Past of the first of them, and all. The last, which is before
    the server, joins at once."""
    with contextlib.ExitStack() as stack:
        mesh = stack.enter_context(past(*EAGER))
        proxies = [mesh.proxy]
        for _ in range(count - 1):
            proxies.append(stack.enter_context(running_proxy(proxies[-1].address)))
            proxies[-1].says(SAYS)
        yield Past(proxies[-1], mesh.listener), proxies


def why_not(mesh, count=60):
    """Why a conversation does not go past it."""
    client, server = mesh.connect()
    with client, server:
        converse(client, server, count)
        row = mesh.row()
        assert row["forward"]["short_circuited"] == row["backward"]["short_circuited"] == 0
        assert row["forward"]["state"] == row["backward"]["state"] == "redirect"
        return row["why_not_short_circuited"]


def bytes_by_tcp(client, server, times=50):
    """Bytes that TCP has delivered of so many requests and answers of one byte."""
    before = counted(client) + counted(server)
    converse(client, server, times)
    return counted(client) + counted(server) - before


def goes_past(client, server):
    """Whether each message goes past the proxy."""
    return bytes_by_tcp(client, server) == 0


def stays_behind(client, server):
    """Whether none does."""
    return bytes_by_tcp(client, server) == 100


def counted(sock):
    """Bytes that TCP has received."""
    # struct tcp_info: tcpi_bytes_received
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
    return int.from_bytes(info[128:136], "little")


def sent_by_tcp(sock):
    """Bytes that TCP has sent, those that it sent again as well."""
    # struct tcp_info: tcpi_bytes_sent
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 208)
    return int.from_bytes(info[200:208], "little")


def live(listener, address, **spec):
    """Run the lives of tests.support.lives, from `address` to `listener`; what both ends told of
    them, added up. Fails with what went wrong."""
    spec = {"seed": 1, "count": 100, "at_once": 20, "large": 500_000, "rest": 0.02, **spec}
    ends = (["server", listener.fileno()], ["client", *address])
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.lives", *map(str, end), json.dumps(spec)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            pass_fds=[listener.fileno()],
        )
        for end in ends
    ]
    told = []
    try:
        for process in processes:
            told.append(json.loads(process.communicate(timeout=patience(240))[0]))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    errors = [error for each in told for error in each["errors"]]
    assert not errors, errors
    assert [each["lives"] for each in told] == [spec["count"]] * 2
    return sum(each["bytes"] for each in told)
