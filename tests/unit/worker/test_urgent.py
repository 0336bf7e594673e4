"""SIGURG for the sockets that the kernel reads, in a program that has its own use for it."""

from __future__ import annotations

import os
import signal
import socket
import threading

from sockproxy.worker.loop import EventLoop
from sockproxy.worker.urgent import UrgentSignals
from tests.support.sockets import eventually, tcp_pair


def test_a_programs_own_signals_come_through():
    """A signalfd takes what is sent to the process; nothing of it is lost to the handler."""
    loop = EventLoop()
    looks, own = [], []
    before = signal.signal(signal.SIGURG, lambda *_: own.append(1))
    urgent = UrgentSignals(loop, lambda: looks.append(1))
    client, server = tcp_pair()
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        with client, server:
            watched = []
            loop.call(lambda: watched.append(urgent.watch(server.fileno())))
            eventually(lambda: watched)
            client.send(b"!", socket.MSG_OOB)
            eventually(lambda: looks)
            for number in range(200):
                os.kill(os.getpid(), signal.SIGURG)
                eventually(lambda number=number: len(own) > number)
            assert thread.is_alive()
    finally:
        signal.signal(signal.SIGURG, before)
        loop.stop()
        thread.join()
        urgent.close()
        loop.close()
