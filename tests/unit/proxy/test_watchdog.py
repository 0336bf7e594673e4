"""Who is told that a proxy lives: as long as each of its workers turns."""

from __future__ import annotations

import socket
import threading
import time

from tests.support.proxy_thread import Running, host
from tests.support.sockets import eventually


def test_it_is_told_until_one_of_them_hangs():
    told, hangs = [], threading.Event()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Running([host(listener)], workers=3) as running,
    ):
        worker = running.proxy.worker
        worker.loop.call(lambda: running.proxy.watch_over(0.03, lambda: told.append(1)))
        eventually(lambda: len(told) > 5)
        worker.other_loops[1].call(hangs.wait)
        time.sleep(0.1)
        before = len(told)
        time.sleep(0.2)
        assert len(told) == before
        hangs.set()
        eventually(lambda: len(told) > before + 2)
