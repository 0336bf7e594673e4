"""A proxy that cannot be opened, and one that is closed twice."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest

from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address
from sockproxy.proxy.options import ProxyOptions, ServiceOptions
from sockproxy.proxy.pool import parse_upstreams
from sockproxy.proxy.proxy import Proxy
from tests.support.proxy_thread import LISTEN


def proxy_at(listen):
    service = ServiceOptions((listen,), parse_upstreams(["127.0.0.1:1"]))
    return Proxy(ProxyOptions((service,), "unit", relay=True))


def test_what_was_not_opened_is_closed_twice():
    before = len(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        proxy = proxy_at(Address(socket.AF_INET, *taken.getsockname()))
        with pytest.raises(SockproxyError, match="listen on"):
            proxy.open()
        proxy.close()
        proxy.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_client_that_waits_when_it_is_closed_twice():
    proxy = proxy_at(LISTEN)
    proxy.open()
    with socket.create_connection(proxy.listening[0].sockaddr, 20):
        proxy.close()
        proxy.close()


@pytest.mark.parametrize("turn", range(20))
def test_a_signal_ends_the_loop_whenever_it_comes(turn):
    """Also between two waits: it runs in the main thread, as handlers do."""
    proxy = proxy_at(LISTEN)
    proxy.open()
    before = signal.signal(signal.SIGUSR1, lambda *_: proxy.stop())
    try:
        thread = threading.Thread(
            target=lambda: (time.sleep(turn / 2000), os.kill(os.getpid(), signal.SIGUSR1))
        )
        thread.start()
        proxy.run()
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
        proxy.close()
