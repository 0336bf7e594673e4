"""Cases: one socket used by several threads, or processes, at the same time."""

from __future__ import annotations

import pickle
import socket
import struct
import threading
import time

from tests.support.calls import (
    case,
    digest,
    meanwhile,
    pattern,
    raw_recv,
    read_to_end,
    tried,
)
from tests.support.calls_end import WAITS_ONCE
from tests.support.calls_share import in_child
from tests.support.scale import scaled
from tests.support.sockets import receive

RECORD = 100


def two_threads(work):
    """The same work in two; what each says."""
    told = [None, None]

    def do(number):
        try:
            told[number] = work(number)
        except BaseException as error:
            told[number] = repr(error)

    threads = [threading.Thread(target=do, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    return threads, told


def finish(threads):
    for thread in threads:
        thread.join()


def read_numbers(sock, answer_every):
    """Numbers until the end; now and then a byte goes back. EAGAIN is a case of its own."""
    numbers = []
    while part := raw_recv(sock, 8):
        if part == "EAGAIN":
            continue
        assert len(part) == 8, part
        numbers += struct.unpack(">Q", part)
        if answer_every and len(numbers) % answer_every == 0:
            sock.sendall(b"!")
    return numbers


def two_processes(work):
    """The same as two_threads(), in two children, which share no interpreter."""

    def wait_for_child(number):
        return pickle.loads(in_child(lambda: pickle.dumps(work(number))))

    return two_threads(wait_for_child)


def are_read_once(client, server, bursts, burst, answer_every, two=two_threads):
    """Two read numbers; every one once, and in order as far as one of them sees.

    Of a long burst the last go by TCP, as the bypass queue is full. Where every number is
    answered, the next burst comes after all answers.
    """
    threads, told = two(lambda _: read_numbers(client, answer_every))
    for start in range(0, bursts * burst, burst):
        for number in range(start, start + burst):
            server.sendall(struct.pack(">Q", number))
        if answer_every == 1:
            receive(server, burst)
    server.shutdown(socket.SHUT_WR)
    finish(threads)
    assert isinstance(told[0], list), told
    assert isinstance(told[1], list), told
    count = bursts * burst
    in_order = [each == sorted(each) for each in told]
    return in_order, sorted(told[0] + told[1]) == list(range(count))


@case(differs=f"{WAITS_ONCE}: both wake", plain=[b"a", b"b"], bypass=["EAGAIN", b"a"])
def two_threads_wait_for_one_message(client, server):
    threads, told = two_threads(lambda _: raw_recv(client, 9))
    time.sleep(0.2)
    server.sendall(b"a")
    time.sleep(0.2)
    server.sendall(b"b")
    finish(threads)
    return sorted(told, key=str)


@case
def two_threads_read(client, server):
    return are_read_once(client, server, 1, 5000, 0)


@case
def two_threads_read_and_answer(client, server):
    return are_read_once(client, server, 1, 5000, 7)


@case
def two_threads_read_and_answer_all(client, server):
    return are_read_once(client, server, 200, 20, 1)


@case
def two_processes_read_and_answer(client, server):
    return are_read_once(client, server, scaled(400, 20), 300, 1, two_processes)


def read_records(server, count, answer_every):
    """Whether each record is whole, and each writer's are in order."""
    last = {0: -1, 1: -1}
    for number in range(count):
        record = receive(server, RECORD)
        writer, index = record[0], struct.unpack(">I", record[1:5])[0]
        if record != bytes([writer]) + struct.pack(">I", index) + bytes([index % 256]) * 95:
            return f"torn: {record!r}"
        if index != last[writer] + 1:
            return f"of {writer}: {index} after {last[writer]}"
        last[writer] = index
        if answer_every and number % answer_every == 0:
            server.sendall(b"!")
    return last


def write_records(client, server, count, answer_every):
    def write(writer):
        for index in range(count):
            head = bytes([writer]) + struct.pack(">I", index)
            client.sendall(head + bytes([index % 256]) * 95)

    threads, _ = two_threads(write)
    answers = threading.Thread(target=lambda: read_to_end(client))
    answers.start()
    told = read_records(server, 2 * count, answer_every)
    finish(threads)
    server.close()
    answers.join()
    return told


@case
def two_threads_write(client, server):
    return write_records(client, server, 3000, 0)


@case
def two_threads_write_and_are_answered(client, server):
    return write_records(client, server, 5000, 5)


@case
def two_threads_send_and_receive_each_its_way(client, server):
    """Both ways at once, without waiting for each other."""
    size = 3_000_000

    def send(sock):
        for start in range(0, size, 1000):
            sock.sendall(pattern(1000, start))

    def read(sock):
        assert receive(sock, size) == pattern(size)

    with meanwhile(send, client), meanwhile(send, server), meanwhile(read, client):
        read(server)
    return tried(client.recv, 1, socket.MSG_DONTWAIT)


@case(
    differs=f"{WAITS_ONCE}: room to write wakes it too",
    plain=b"abc",
    bypass="EAGAIN",
)
def one_reads_while_another_streams_out(client, server):
    """The reader waits; the other thread sends until it has to wait, and then may go on."""
    size = 16 << 20
    got = []

    def drain():
        time.sleep(0.4)
        got.append(digest(receive(server, size)) == digest(pattern(size)))
        server.sendall(b"abc")

    def stream():
        time.sleep(0.2)
        client.sendall(pattern(size))

    with meanwhile(stream), meanwhile(drain):
        said = raw_recv(client, 9)
    assert got == [True]
    return said
