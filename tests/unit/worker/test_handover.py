"""What a splicer is given: sockets with bytes already read, asyncio's streams, and what it refuses;
and what a forked child has of it."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import socket
import ssl
import threading

import pytest

import sockproxy
from sockproxy.splicer import acceleration
from tests.support.fake_kernel import FakeKernel
from tests.support.forks import end_child, in_child
from tests.support.scale import patience
from tests.support.sockets import eventually, push_until_blocked, receive, reset, tcp_pair

LONG = bytes(range(256)) * 12_000  # more than a pipe holds
STUCK = LONG * 10  # and more than the sockets


@pytest.fixture(params=["relay", "auto", "eager"])
def splicer(request, monkeypatch):
    """Relaying, and on a kernel that takes every direction through all its states."""
    relay = request.param == "relay"
    monkeypatch.setattr(acceleration, "SockmapKernel", lambda *_, **__: FakeKernel())
    with sockproxy.Splicer(relay=relay, eager=request.param == "eager", force=True) as splicer:
        assert splicer.accelerated != relay
        yield splicer


@pytest.fixture
def four():
    """client, a, b, server: what a and b are spliced for."""
    client, a = tcp_pair()
    server, b = tcp_pair()
    with client, a, b, server:
        yield client, a, b, server


# -- bytes that were read already ---------------------------------------------------------


def test_what_was_read_already_goes_first_each_way(splicer, four):
    client, a, b, server = four
    client.sendall(b"read-unread-")
    assert receive(a, 5) == b"read-"
    splice = splicer.splice(a, b, already_read=(b"read-", b"banner-"))
    client.sendall(b"later")
    server.sendall(b"answer")
    assert receive(server, 17) == b"read-unread-later"
    assert receive(client, 13) == b"banner-answer"
    client.close()
    assert server.recv(1) == b""
    server.close()
    stats = splice.wait(patience(20))
    assert stats.outcome == "finished"
    assert (stats.forward.moved, stats.backward.moved) == (17, 13)
    assert stats.forward.pumped == 17


@pytest.mark.parametrize("ends", [True, False])
def test_much_and_nothing_behind_it(splicer, four, ends):
    """Though the source is silent, or at its end."""
    client, a, b, server = four
    if ends:
        client.shutdown(socket.SHUT_WR)
    splice = splicer.splice(a, b, already_read=(LONG, b""))
    assert receive(server, len(LONG)) == LONG
    if ends:
        assert server.recv(1) == b""
    assert splice.stats().forward.pumped == len(LONG)


def test_it_waits_for_a_stalled_reader_and_is_dropped_when_asked(splicer, four):
    _client, a, b, server = four
    taken = push_until_blocked(b, bytes(1 << 20), quiet=0.2)
    splice = splicer.splice(a, b, already_read=(b"after", b""))
    assert receive(server, taken + 5) == bytes(taken) + b"after"
    _other, c = tcp_pair()
    with _other:
        _last, d = tcp_pair()
        with _last:
            push_until_blocked(d, bytes(1 << 20), quiet=0.2)
            dropped = splicer.splice(c, d, already_read=(LONG, b""))
            dropped.drop("forward")
            eventually(lambda: dropped.stats().forward.dropped == len(LONG))
    splice.abort()


def test_a_reset_is_a_reset(splicer, four):
    client, a, b, server = four
    pushed = push_until_blocked(b, bytes(1 << 20), quiet=0.2)
    splice = splicer.splice(a, b, already_read=(LONG, b""))
    splice.stats()  # they are paired by now
    reset(client)
    taken = 0
    with pytest.raises(ConnectionResetError):
        while part := server.recv(1 << 20):
            taken += len(part)
    assert taken == pushed + len(LONG)
    assert "reset" in splice.wait(patience(20)).outcome


def test_a_reset_before_they_are_paired_is_one_too(splicer, four):
    """What came before it is delivered."""
    client, a, b, server = four
    client.sendall(b" and late")
    reset(client)
    splice = splicer.splice(a, b, already_read=(b"early", b""))
    assert receive(server, 14) == b"early and late"
    with pytest.raises(ConnectionResetError):
        server.recv(1)
    assert "reset" in splice.wait(patience(20)).outcome


@pytest.mark.parametrize("bad", [None, b"xx", (b"",), ("a", "b"), (1, 2), (b"", b"", b"")])
def test_what_are_no_bytes_is_refused_and_nothing_taken(splicer, four, bad):
    client, a, b, _ = four
    with pytest.raises(sockproxy.UsageError, match="already_read"):
        splicer.splice(a, b, already_read=bad)
    client.sendall(b"unharmed")
    assert receive(a, 8) == b"unharmed"


# -- what is no plain socket -----------------------------------------------------------------


def test_tls_of_user_space_is_refused(splicer, four):
    """Its ciphertext would go to the other end."""
    client, a, b, _ = four
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(a, do_handshake_on_connect=False) as wrapped:
        for pair in ((wrapped, b), (b, wrapped)):
            with pytest.raises(sockproxy.UsageError, match=r"TLS; .*encrypted"):
                splicer.splice(*pair)
        assert wrapped.fileno() > 0
    assert client.recv(1) == b""


@pytest.mark.parametrize("bad", [None, 7, "127.0.0.1:80"])
def test_what_is_no_socket_is_refused(splicer, four, bad):
    _, a, *_ = four
    with pytest.raises(sockproxy.UsageError, match=r"give a socket\.socket"):
        splicer.splice(a, bad)
    assert a.fileno() > 0


# -- out of asyncio -------------------------------------------------------------------------


def test_streams_with_what_they_have_read(splicer):
    """A protocol that speaks a line first, as CONNECT does, and splices the rest."""

    async def serve(reader, writer):
        line = await reader.readline()
        writer.write(b"go " + line)
        upstream = await asyncio.open_connection(*listener.getsockname())
        a, from_client = await sockproxy.detach_stream(reader, writer)
        b, from_upstream = await sockproxy.detach_stream(*upstream)
        ended.append(await splicer.splice(a, b, already_read=(from_client, from_upstream)))

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            await asyncio.to_thread(talk, server.sockets[0].getsockname())
            while not ended:
                await asyncio.sleep(0.01)

    def talk(address):
        with socket.create_connection(address, patience(20)) as client:
            client.sendall(b"line\n" + LONG)
            client.shutdown(socket.SHUT_WR)
            upstream, _ = listener.accept()
            with upstream:
                upstream.settimeout(patience(20))
                upstream.sendall(b"banner")
                assert receive(upstream, len(LONG)) == LONG
                assert upstream.recv(1) == b""
            assert receive(client, 14) == b"go line\nbanner"
            assert client.recv(1) == b""

    ended = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(patience(20))
        asyncio.run(main())
    assert ended[0].outcome == "finished"
    assert ended[0].forward.moved == len(LONG)


def test_what_was_written_to_a_stream_goes_first(four):
    client, a, *_ = four

    async def main():
        reader, writer = await asyncio.open_connection(sock=a)
        writer.write(STUCK)
        detaching = asyncio.ensure_future(sockproxy.detach_stream(reader, writer))
        await asyncio.sleep(0.05)
        assert not detaching.done()  # more than the kernel takes, and nobody reads
        got = await asyncio.to_thread(receive, client, len(STUCK))
        sock, read = await detaching
        with sock:
            assert writer.is_closing()
            assert (got, read) == (STUCK, b"")
            await asyncio.sleep(0)  # asyncio has closed its descriptor by now
            sock.setblocking(True)
            sock.sendall(b"goes on")
            assert await asyncio.to_thread(receive, client, 7) == b"goes on"

    asyncio.run(main())


def test_a_transport_that_is_lost_or_no_tcp_is_refused(four):
    client, a, *_ = four

    async def main():
        one, other = socket.socketpair()
        _, writer = await asyncio.open_unix_connection(sock=one)
        with other, pytest.raises(sockproxy.UsageError, match="no TCP"):
            await sockproxy.detach_transport(writer.transport)
        writer.close()
        reader, writer = await asyncio.open_connection(sock=a)
        writer.write(STUCK)
        detaching = asyncio.ensure_future(sockproxy.detach_stream(reader, writer))
        await asyncio.sleep(0)
        reset(client)
        with pytest.raises(sockproxy.SockproxyError, match="lost"):
            await detaching

    asyncio.run(main())
    gc.collect()


# -- forks ----------------------------------------------------------------------------------


def is_socket(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False  # that of the listing


def test_a_forked_child_neither_holds_nor_disturbs(splicer, four):
    client, a, b, server = four
    splice = splicer.splice(a, b, already_read=(b"early ", b""))
    client.sendall(b"before")
    assert receive(server, 12) == b"early before"

    def look():
        sockets = (client, server)
        for sock in sockets:
            sock.close()
        with pytest.raises(sockproxy.UsageError, match="closed"):
            splicer.splice(*tcp_pair())
        with pytest.raises(sockproxy.SockproxyError, match="parent"):
            splice.wait(1)
        splicer.close()
        gc.collect()
        return sum(is_socket(fd) for fd in os.listdir("/proc/self/fd"))

    pid, alive, answer = in_child(look)
    try:
        assert answer == "2", answer  # those of in_child()
        for _ in range(20):
            client.sendall(b"request")
            assert receive(server, 7) == b"request"
            server.sendall(b"answer")
            assert receive(client, 6) == b"answer"
        # The end arrives though the child lives: it holds no descriptor of it.
        client.close()
        assert server.recv(1) == b""
        server.close()
        assert splice.wait(patience(20)).outcome == "finished"
    finally:
        end_child(pid, alive)


def test_a_forked_child_has_splices_of_its_own(splicer):
    def do():
        client, a = tcp_pair()
        server, b = tcp_pair()
        with sockproxy.Splicer(relay=True) as own:
            own.splice(a, b)
            client.sendall(b"x" * 1000)
            return len(receive(server, 1000))

    pid, alive, answer = in_child(do)
    end_child(pid, alive)
    assert answer == "1000"


def test_forks_in_the_middle_of_a_stream(splicer, four):
    client, a, b, server = four
    splicer.splice(a, b)
    writer = threading.Thread(target=lambda: [client.sendall(LONG) for _ in range(5)])
    writer.start()
    children = []
    try:
        for _ in range(5):
            children.append(in_child(lambda: "up")[:2])
            assert receive(server, len(LONG)) == LONG
        writer.join()
        assert not select.select([server], [], [], 0.05)[0]
    finally:
        for pid, alive in children:
            end_child(pid, alive)
