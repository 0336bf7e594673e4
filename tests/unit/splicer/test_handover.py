"""What a splicer is given: bytes already read, asyncio's streams; and which sockets it refuses."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl

import pytest

import sockproxy
from tests.support.scale import patience
from tests.support.sockets import eventually, push_until_blocked, receive, reset, tcp_pair

LONG = bytes(range(256)) * 12_000  # more than a pipe holds
STUCK = LONG * 10  # and more than the sockets


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
