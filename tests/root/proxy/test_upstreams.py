"""Health checks, weights and limits of a proxy as a process, with upstreams of many habits."""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import socket
import threading
from collections import Counter

import pytest

from tests.root.proxy.test_config import configured
from tests.support.haproxy import haproxy
from tests.support.proxy import run_sockproxy, running_proxy, through
from tests.support.scale import patience
from tests.support.servers import free_port
from tests.support.sockets import eventually, receive

pytestmark = [pytest.mark.root, pytest.mark.bpf]


class Server:
    """One that answers PING with PONG and what else it is told with its name, while it is well.

    Ill, it accepts and says nothing; gone, it refuses.
    """

    def __init__(self, name):
        self.name, self.well = name, True
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = self.listener.getsockname()
        self._open = contextlib.ExitStack()
        self._begin()

    def _begin(self):
        self._ends, self._told = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(self.listener, self._told))
        self._thread.start()

    def _serve(self, listener, told):
        socks = [listener, told]
        while True:
            for sock in select.select(socks, [], [])[0]:
                if sock is told:
                    for each in socks:
                        each.close()
                    return
                if sock is listener:
                    socks.append(listener.accept()[0])
                elif not self._answer(sock):
                    socks.remove(sock)
                    sock.close()

    def _answer(self, sock):
        with contextlib.suppress(OSError):
            asked = sock.recv(100)
            if asked and self.well:
                sock.sendall(b"PONG" if asked == b"PING" else self.name)
            return bool(asked)
        return False

    def go(self):
        self._ends.close()
        self._thread.join()

    def come_again(self):
        self.listener = socket.create_server(self.address, backlog=1024)
        self._begin()

    def __str__(self):
        return "{}:{}".format(*self.address)


@pytest.fixture
def trio():
    made = [Server(b"%d" % number) for number in range(3)]
    yield made
    for each in made:
        if each.listener.fileno() >= 0:
            each.go()


def ask(proxy, count=1):
    """Who has answered, of so many clients one after another."""
    answers = []
    for _ in range(count):
        with socket.create_connection(proxy.address, timeout=patience(20)) as client:
            client.sendall(b"who?")
            answers.append(int(receive(client, 1)))
    return answers


def states(proxy):
    (service,) = proxy.status()["services"]
    return [each["state"] for each in service["upstreams"]]


def text_of(upstreams, more=""):
    return (
        f'[[service]]\nlisten = "127.0.0.1:0"\nupstream = [{", ".join(upstreams)}]\n'
        f'connect-timeout = "5s"\n{more}'
    )


ASKS = '[service.health]\ninterval = "50ms"\ntimeout = "300ms"\nsend = "PING"\nexpect = "PONG"\n'


def test_upstreams_of_many_habits(tmp_path, trio):
    text = text_of([f'"{each}"' for each in trio], ASKS)
    with configured(tmp_path, text) as proxy:
        assert Counter(ask(proxy, 6)) == {0: 2, 1: 2, 2: 2}
        trio[1].well = False
        trio[2].go()
        eventually(lambda: states(proxy) == ["up", "down", "down"], 20)
        assert ask(proxy, 5) == [0] * 5
        (service,) = proxy.status()["services"]
        whys = [each["why"] for each in service["upstreams"]]
        assert whys[1:] == ["no answer in 0.3 s", "connection refused"]
        shown = run_sockproxy("status", proxy.name).stdout
        assert "no answer in 0.3 s" in shown
        trio[1].well = True
        trio[2].come_again()
        eventually(lambda: states(proxy) == ["up"] * 3, 20)
        assert Counter(ask(proxy, 6)) == {0: 2, 1: 2, 2: 2}
        for each in trio:
            each.go()
        proxy.says("are down: they are tried all the same")
        shown = run_sockproxy("status", proxy.name).stdout
        assert "all upstreams are down: they are tried all the same" in shown
        for each in trio:
            each.come_again()
        eventually(lambda: states(proxy) == ["up"] * 3, 20)


def test_one_that_flaps_costs_no_client(tmp_path, trio):
    """It goes and comes while clients come; each of them has an answer, by whoever is there."""
    text = text_of([f'"{each}"' for each in trio[:2]], ASKS)
    with configured(tmp_path, text) as proxy:
        seen = Counter()
        for _ in range(6):
            trio[1].go()
            seen.update(ask(proxy, 20))
            trio[1].come_again()
            seen.update(ask(proxy, 20))
        assert seen[0] + seen[1] == 240
        eventually(lambda: states(proxy) == ["up", "up"], 20)
        assert proxy.status()["connections_refused"] == 0


def test_weights_limits_and_reload(tmp_path, trio):
    a, b, c = trio
    first = [f'{{address = "{a}", weight = 3}}', f'"{b}"']
    with configured(tmp_path, text_of(first)) as proxy:
        assert Counter(ask(proxy, 40)) == {0: 30, 1: 10}
        path = tmp_path / f"{proxy.name}.toml"
        path.write_text(text_of([f'{{address = "{a}", weight = 0}}', f'"{b}"', f'"{c}"'], ASKS))
        done = run_sockproxy("reload", proxy.name, "--json")
        changes = json.loads(done.stdout)["changes"]
        assert any(f"{a} weight 0" in line for line in changes), changes
        assert any("has health every 0.05 s" in line for line in changes), changes
        assert Counter(ask(proxy, 10)) == {1: 5, 2: 5}
        assert states(proxy) == ["draining", "up", "up"]


def test_limits_of_the_command_line_hold_over_workers(listener):
    address = "{}:{}".format(*listener.getsockname())
    option = f"{address},max-connections=3"
    with (
        contextlib.ExitStack() as stack,
        running_proxy(option, "--workers", 2, "--connect-timeout", "5m") as proxy,
    ):
        pairs = [through(proxy, listener) for _ in range(3)]
        for sock in itertools.chain(*pairs):
            stack.enter_context(sock)
        waiting = []
        for number in range(1, 5):  # of two that come at once either may be the first
            waiting.append(stack.enter_context(socket.create_connection(proxy.address)))
            eventually(lambda number=number: proxy.status()["services"][0]["waiting"] == number, 20)
        assert not select.select([listener], [], [], 0.2)[0]
        assert "4 clients wait for a place" in run_sockproxy("status", proxy.name).stdout
        for client, upstream in pairs:
            client.close()
            upstream.close()
        for number, client in enumerate(waiting):
            client.sendall(b"%d" % number)
        upstreams = [stack.enter_context(listener.accept()[0]) for _ in range(3)]
        assert sorted(receive(each, 1) for each in upstreams) == [b"0", b"1", b"2"]
        assert not select.select([listener], [], [], 0.2)[0]
        for each in (*waiting[:3], *upstreams):
            each.close()
        last = stack.enter_context(listener.accept()[0])
        assert receive(last, 1) == b"3"
        waiting[3].close()
        last.close()
        proxy.settled()


HAPROXY = """
frontend f
  mode http
  bind 127.0.0.1:{port} accept-proxy
  http-request return status 200 content-type text/plain string "served"
"""


@pytest.mark.tools("haproxy")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_takes_the_checks_of_one_that_sends_the_proxy_protocol(tmp_path, version):
    """It insists on a header: a check without one would be closed before its answer."""
    port = free_port()
    how = (
        f'send-proxy = "{version}"\n[service.health]\ninterval = "50ms"\ntimeout = "5s"\n'
        'send = "GET / HTTP/1.0\\r\\n\\r\\n"\nexpect = "HTTP/1.1 200"\n'
    )
    text = text_of([f'"127.0.0.1:{port}"'], how)
    with configured(tmp_path, text) as proxy:
        eventually(lambda: states(proxy) == ["down"], 20)
        with haproxy(tmp_path, HAPROXY.format(port=port), port):
            eventually(lambda: states(proxy) == ["up"], 20)
            with socket.create_connection(proxy.address, timeout=patience(20)) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while part := client.recv(1000):
                    answer += part
                assert answer.endswith(b"served")
