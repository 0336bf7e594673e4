"""Connecting: one that is answered while connect(2) runs is not waited for."""

from __future__ import annotations

import socket

import pytest

from sockproxy.net.address import Address
from sockproxy.worker import connect
from sockproxy.worker.connect import Attempts, Connector
from sockproxy.worker.loop import EventLoop


@pytest.fixture
def loop():
    made = EventLoop()
    yield made
    made.close()


def connector_to(loop, sockaddr, connected, failed=pytest.fail):
    candidates = iter([Address(socket.AF_INET, *sockaddr)])
    return Connector(
        loop,
        lambda _tried: next(candidates, None),
        5,
        connected=connected,
        failed=failed,
        attempts=Attempts(),
    )


def test_on_this_host_nothing_is_waited_for(loop):
    given = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connector_to(loop, listener.getsockname(), given.append).start()
        with given[0] as sock:
            assert sock.getpeername() == listener.getsockname()


def test_an_answer_that_comes_later_is_waited_for(loop, monkeypatch):
    monkeypatch.setattr(connect, "_is_connected", lambda _sock: False)
    given = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connector_to(
            loop, listener.getsockname(), lambda sock: (given.append(sock), loop.stop())
        ).start()
        assert not given
        loop.run()
        given[0].close()


def test_a_refusal_on_this_host_is_told_by_the_loop(loop):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        said = []
        connector_to(
            loop,
            unheard.getsockname(),
            pytest.fail,
            failed=lambda why: (said.append(why), loop.stop()),
        ).start()
        loop.run()
    assert "connection refused" in said[0]
