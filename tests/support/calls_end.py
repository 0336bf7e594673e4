"""Cases: shutdown, close and reset."""

from __future__ import annotations

import errno
import socket
import time

from tests.support.calls import (
    case,
    digest,
    later,
    meanwhile,
    pattern,
    polled,
    raw_recv,
    read_to_end,
    reset_on_close,
    tried,
    wait_readable,
)
from tests.support.scale import patience
from tests.support.sockets import receive

DONTWAIT = socket.MSG_DONTWAIT
WAITS_ONCE = "tcp_msg_wait_data() waits once and looks at nothing but data"


def error_of(sock):
    """SO_ERROR by name."""
    return errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "none")


@case
def shutdown_after_unread_data(client, server):
    for number in range(5):
        server.sendall(pattern(1000, number * 1000))
    server.shutdown(socket.SHUT_WR)
    wait_readable(client)
    return digest(read_to_end(client, 300)), tried(client.recv, 1), tried(server.send, b"x")


@case
def shutdown_of_the_client(client, server):
    client.sendall(b"abc")
    client.shutdown(socket.SHUT_WR)
    request = read_to_end(server)
    for number in range(5):
        server.sendall(pattern(1000, number * 1000))
    server.close()
    return request, digest(read_to_end(client)), tried(client.recv, 1)


@case
def half_closed_for_long(client, server):
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    for number in range(200):
        server.sendall(pattern(1000, number * 1000))
    server.shutdown(socket.SHUT_WR)
    return digest(read_to_end(client)), tried(server.recv, 1)


@case
def shutdown_both_with_unread_data(client, server):
    server.sendall(b"abc")
    server.shutdown(socket.SHUT_RDWR)
    wait_readable(client)
    return polled(client), client.recv(2), client.recv(2), client.recv(2), polled(client)


@case
def shutdown_of_reading(client, server):
    server.sendall(b"abc")
    wait_readable(client)
    client.shutdown(socket.SHUT_RD)
    told = [polled(client), client.recv(9), client.recv(9)]
    server.sendall(b"def")
    time.sleep(0.1)
    told += [client.recv(9), client.recv(9), tried(client.send, b"x"), server.recv(9)]
    return told


@case
def shutdown_of_reading_wakes_who_reads(client, server):
    server.sendall(b"abc")
    client.recv(9)
    client.shutdown(socket.SHUT_RD)
    return client.recv(9), client.recv(9, DONTWAIT)


@case(differs=WAITS_ONCE, plain=b"", bypass="EAGAIN")
def shutdown_of_reading_while_one_waits(client, server):
    with meanwhile(later, 0.2, client.shutdown, socket.SHUT_RD):
        return raw_recv(client, 9)


@case
def shutdown_of_the_peer_while_one_waits(client, server):
    with meanwhile(later, 0.2, server.shutdown, socket.SHUT_WR):
        return raw_recv(client, 9)


@case
def data_and_shutdown_while_one_waits(client, server):
    def end():
        time.sleep(0.2)
        server.sendall(b"abc")
        server.shutdown(socket.SHUT_WR)

    with meanwhile(end):
        return raw_recv(client, 2), raw_recv(client, 2), raw_recv(client, 2)


@case
def send_after_shutdown(client, server):
    client.sendall(b"abc")
    client.shutdown(socket.SHUT_WR)
    return tried(client.send, b"x"), tried(client.send, b"x"), read_to_end(server)


@case
def send_after_the_peer_closed(client, server):
    server.close()
    time.sleep(0.05)
    told = [tried(client.send, b"abc")]
    time.sleep(0.1)
    told += [polled(client), tried(client.send, b"def"), tried(client.send, b"ghi")]
    return [*told, tried(client.recv, 9), error_of(client)]


@case
def send_after_data_and_close(client, server):
    server.sendall(b"abc")
    server.close()
    wait_readable(client)
    told = [tried(client.send, b"x")]
    time.sleep(0.1)  # for the reset that answers it, through a proxy as well
    told += [polled(client), tried(client.recv, 9)]
    return [*told, tried(client.recv, 9), tried(client.recv, 9)]


@case
def recv_after_a_reset_with_unread_data(client, server):
    server.sendall(b"abc")
    server.sendall(b"def")
    reset_on_close(server)
    server.close()
    wait_readable(client)
    told = [polled(client), tried(client.recv, 4), tried(client.recv, 9)]
    return [*told, tried(client.recv, 9), tried(client.recv, 9), tried(client.send, b"x")]


@case
def error_after_a_reset_with_unread_data(client, server):
    server.sendall(b"abc")
    reset_on_close(server)
    server.close()
    wait_readable(client)
    return error_of(client), tried(client.recv, 9), tried(client.recv, 9), tried(client.send, b"x")


@case(differs=WAITS_ONCE, plain="ECONNRESET", bypass="EAGAIN")
def reset_while_one_waits(client, server):
    reset_on_close(server)
    with meanwhile(later, 0.2, server.close):
        return raw_recv(client, 9)


@case
def reset_while_one_polls(client, server):
    reset_on_close(server)
    with meanwhile(later, 0.2, server.close):
        told = [polled(client)]
        wait_readable(client)
    return [*told, polled(client), raw_recv(client, 9), raw_recv(client, 9)]


@case
def linger_zero_of_the_reader(client, server):
    server.sendall(b"abc")
    reset_on_close(client)
    client.close()
    wait_readable(server)
    return polled(server), tried(server.recv, 9), tried(server.recv, 9), tried(server.send, b"x")


@case
def linger_waits(client, server):
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\5\0\0\0")
    server.sendall(pattern(1000))
    began = time.monotonic()
    server.close()
    return time.monotonic() - began < patience(2), digest(read_to_end(client))


@case(
    differs="tcp_close() does not see what is unread in the bypass queue",
    plain=(["IN", "OUT", "RDHUP", "HUP", "ERR"], "ECONNRESET", "EPIPE"),
    bypass=(["IN", "OUT", "RDHUP"], b"", 1),
)
def close_with_unread_data(client, server):
    server.sendall(b"abc")
    wait_readable(client)
    client.close()
    wait_readable(server)
    return polled(server), tried(server.recv, 9), tried(server.send, b"x")


@case
def close_with_unread_data_that_came_by_tcp(client, server):
    server.sendall(pattern(600_000))  # more than may be bypassed
    wait_readable(client)
    client.close()
    wait_readable(server)
    return tried(server.recv, 9), tried(server.send, b"x")


@case(
    differs="tcp_bpf_sendmsg() loses the error of a send that has taken something",
    plain=("ECONNRESET", "EPIPE"),
    bypass=("EPIPE", "EPIPE"),
)
def close_while_a_send_waits(client, server):
    def read_some():
        time.sleep(0.2)
        receive(server, 100_000)
        server.close()

    with meanwhile(read_some):
        said = tried(client.sendall, pattern(32 << 20))
    return said, tried(client.send, b"x")


@case
def names_after_a_reset(client, server):
    reset_on_close(server)
    server.close()
    wait_readable(client)
    return tried(client.getpeername), tried(client.shutdown, socket.SHUT_WR), error_of(client)


@case
def connect_again(client, server):
    address = client.getpeername()
    return tried(client.connect, address), client.send(b"abc"), server.recv(9)
