"""Other services for a proxy that runs."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import pytest

from sockproxy.errors import UsageError
from sockproxy.net.address import parse_address
from sockproxy.net.networks import parse_network
from sockproxy.proxy.config import Configuration
from sockproxy.proxy.options import ProxyOptions, Route, ServiceOptions
from sockproxy.proxy.pool import Health, Pool
from sockproxy.proxy.proxy import Proxy
from sockproxy.proxy.reload import NOT_NOW, Reloader
from sockproxy.worker.rules import Rules
from tests.support.proxy_thread import LISTEN, Running, host
from tests.support.scale import patience
from tests.support.servers import free_port
from tests.support.sockets import eventually, receive


def free_place():
    return parse_address(f"127.0.0.1:{free_port()}")


class Reloading(Running):
    """One whose wanted services a test says."""

    def __init__(self, hosts, **options):
        super().__init__(hosts, **options)
        self.error = None
        self.applied = []
        self.wanted = self.proxy.options
        self.reloader = Reloader(self.proxy, self._read, self.applied.append)

    def _read(self):
        if self.error:
            raise self.error
        return Configuration(self.wanted, "info", "text")

    def reload(self, *services, **others):
        """What has changed."""
        self.wanted = ProxyOptions(services, "unit", **{"relay": True, "max_connections": 64,
                                                       "workers": 2, **others})  # fmt: skip
        told = self.reloader.reload()
        assert told["error"] == ""
        return told["changes"]

    def refused(self, *services):
        """Why it was not."""
        self.wanted = ProxyOptions(services, "unit", relay=True, max_connections=64, workers=2)
        told = self.reloader.reload()
        assert told["changes"] == []
        return told["error"]

    def serves(self, server, place=None):
        """A connection there goes to that server; both its ends."""
        where = (place or self.proxy.listening[0]).sockaddr
        client = socket.create_connection(where, patience(10))
        upstream, _ = server.accept()
        client.sendall(b"?")
        assert receive(upstream, 1) == b"?"
        return client, upstream


def talk(pair):
    client, upstream = pair
    for source, target in (pair, pair[::-1]):
        source.sendall(b"on")
        assert receive(target, 2) == b"on"
    client.close()
    upstream.close()


def test_nothing_changes_where_nothing_is_wanted(servers):
    with Reloading([host(servers[0])]) as running:
        service = running.proxy.services[0]
        assert running.reload(service.options) == ["nothing has changed"]
        assert running.proxy.services == [service]
        talk(running.serves(servers[0]))


def test_other_upstreams_are_for_those_that_come(servers):
    with Reloading([host(servers[0])]) as running:
        before = running.serves(servers[0])
        port = running.proxy.listening
        changes = running.reload(ServiceOptions((LISTEN,), (host(servers[1]),)))
        assert changes == [f"127.0.0.1:0 has the upstreams {host(servers[1])}"]
        assert running.proxy.listening == port
        for _ in range(4):
            talk(running.serves(servers[1]))
        talk(before)


@pytest.mark.parametrize("change", [{"connect_timeout": 3.0}, {"keepalive": 5}, {"nodelay": False}])
def test_other_rules_keep_the_socket_and_the_connections(servers, change):
    with Reloading([host(servers[0])]) as running:
        before = running.serves(servers[0])
        (sock,) = running.proxy.services[0].listeners
        (told,) = running.reload(ServiceOptions((LISTEN,), (host(servers[0]),), **change))
        ((name, value),) = change.items()
        assert told == f"127.0.0.1:0 has {name.replace('_', '-')} {value}"
        assert list(running.proxy.services[0].listeners) == [sock]
        after = running.serves(servers[0])
        rows = running.proxy.worker.read().live
        assert [row.service for row in rows] == [0, 1]
        nodelay = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert bool(nodelay) == change.get("nodelay", True)
        talk(before)
        talk(after)
        eventually(lambda: len([line for line in running.lines if "finished" in line]) == 2)


def test_places_come_and_go(servers):
    one, other = free_place(), free_place()
    with Reloading([host(servers[0])], listen=(one,)) as running:
        before = running.serves(servers[0])
        changes = running.reload(ServiceOptions((one, other), (host(servers[0]),)))
        assert changes == [f"{one} listens on {other}"]
        talk(running.serves(servers[0], one))
        talk(running.serves(servers[0], other))
        changes = running.reload(ServiceOptions((other,), (host(servers[0]),), name="new"))
        assert changes[:2] == [f"new listens on {other}", f"{one} listens no more on {one}"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(one.sockaddr)
        talk(running.serves(servers[0], other))
        talk(before)


def test_a_place_goes_from_one_service_to_another(servers):
    one, other = free_place(), free_place()
    a, b = host(servers[0]), host(servers[1])
    with Reloading([a], listen=(one,), name="a") as running:
        running.reload(ServiceOptions((one,), (a,), "a"), ServiceOptions((other,), (b,), "b"))
        sockets = {sock for each in running.proxy.services for sock in each.listeners}
        assert set(
            running.reload(ServiceOptions((other,), (a,), "a"), ServiceOptions((one,), (b,), "b"))
        ) == {
            f"a listens on {other}", f"a listens no more on {one}",
            f"b listens on {one}", f"b listens no more on {other}",
        }  # fmt: skip
        assert {sock for each in running.proxy.services for sock in each.listeners} == sockets
        talk(running.serves(servers[0], other))
        talk(running.serves(servers[1], one))


def test_a_service_goes_and_its_connections_stay(servers):
    one, other = free_place(), free_place()
    both = (ServiceOptions((one,), (host(servers[0]),), "a"),
            ServiceOptions((other,), (host(servers[1]),), "b"))  # fmt: skip
    with Reloading([host(servers[0])], listen=(one,), name="a") as running:
        running.reload(*both)
        kept = running.serves(servers[1], other)
        assert running.reload(both[0]) == [f"b listens no more on {other}"]
        talk(kept)
        talk(running.serves(servers[0], one))
        eventually(lambda: running.proxy.clients.count == 0)


def test_a_taken_port_changes_nothing(servers):
    one, other = free_place(), free_place()
    taken = parse_address("{}:{}".format(*servers[2].getsockname()))
    with Reloading([host(servers[0])], listen=(one,)) as running:
        told = running.refused(ServiceOptions((one, other, taken), (host(servers[1]),)))
        assert told.startswith(f"listen on {taken}: ")
        assert "ss -ltnp" in told
        assert running.proxy.listening == [one]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(other.sockaddr)
        talk(running.serves(servers[0]))
        assert running.told("not reloaded, all is as it was")


def test_a_bad_file_changes_nothing(servers):
    with Reloading([host(servers[0])]) as running:
        running.error = UsageError("edge.toml:1: workers: must be a whole number")
        assert running.reloader.reload()["error"].startswith("edge.toml:1: workers")
        running.reloader.begin()
        eventually(lambda: len(running.told("not reloaded")) == 2)
        assert not running.applied
        talk(running.serves(servers[0]))


def test_no_memory_for_another_service(servers, monkeypatch):
    with Reloading([host(servers[0])]) as running:
        monkeypatch.setattr(
            running.proxy, "open_service", lambda _service: (_ for _ in ()).throw(OSError(12, "no"))
        )
        options = ServiceOptions((LISTEN,), (host(servers[0]),), connect_timeout=1.0)
        assert "cannot allocate" in running.refused(options).lower()
        talk(running.serves(servers[0]))


def test_what_cannot_be_changed_is_said(servers):
    with Reloading([host(servers[0])]) as running:
        options = running.proxy.options.services
        changes = running.reload(*options, workers=3, budget=4096, grace=1.0)
        assert changes == ["grace is 1 s", "from the next start on: budget, workers"]
        assert running.proxy.options.grace == 1.0
        assert running.proxy.options.workers == 2


def test_an_upstream_that_was_silent_is_known_to_be(servers):
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as silent,
        Reloading([host(silent), host(servers[0])], connect_timeout=0.5) as running,
    ):
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        for _ in range(2):
            talk(running.serves(servers[0]))
        eventually(lambda: running.told("does not answer"))
        running.reload(ServiceOptions(
            (LISTEN,), (host(silent), host(servers[0]), host(servers[1])), connect_timeout=0.5
        ))  # fmt: skip
        talk(running.serves(servers[0]))
        talk(running.serves(servers[1]))
        talk(running.serves(servers[0]))
        running.reload(ServiceOptions((LISTEN,), (host(servers[1]),), connect_timeout=0.5))
        for filler in fillers:
            filler.close()
        talk(running.serves(servers[1]))


def test_weights_and_checks_are_told_and_taken_at_once(servers):
    a, b, _ = servers
    with Reloading([host(a), host(b)]) as running:
        service = running.proxy.services[0]
        health = Health(interval=0.05, timeout=patience(5))
        upstreams = (host(a), host(b, weight=0, most=5))
        changes = running.reload(
            ServiceOptions((LISTEN,), upstreams, health=health, slow_start=5.0)
        )
        assert changes == [
            f"127.0.0.1:0 has the upstreams {host(a)}, {host(b)} weight 0 max-connections 5",
            f"127.0.0.1:0 has health {health}",
            "127.0.0.1:0 has slow-start 5.0",
        ]
        assert running.proxy.services == [service]
        eventually(lambda: a.accept()[0].close() is None)  # a check
        assert [each["weight"] for each in service.upstreams.report()["upstreams"]] == [1, 0]
        assert running.reload(ServiceOptions((LISTEN,), (host(a),))) == [
            f"127.0.0.1:0 has the upstreams {host(a)}",
            "127.0.0.1:0 has health none",
            "127.0.0.1:0 has slow-start 0.0",
        ]


@pytest.mark.parametrize("rule", [{}, {"keepalive": 9}])
def test_one_that_is_down_stays_down(servers, rule):
    """Also where another rule of its service changes, so that another service takes its place."""
    a, b, _ = servers
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = host(gone)
    health = Health(interval=patience(60), timeout=patience(5))
    with Reloading([host(a), closed], health=health) as running:

        def states():
            (service,) = running.proxy.services
            return [each["state"] for each in service.upstreams.report()["upstreams"]]

        eventually(lambda: states() == ["up", "down"], 30)
        upstreams = (closed, host(a), host(b))
        running.reload(ServiceOptions((LISTEN,), upstreams, health=health, **rule))
        assert states() == ["down", "up", "up"]


def test_one_of_a_route_that_is_down_stays_down(servers):
    a, *_ = servers
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = host(gone)
    health = Health(interval=patience(60), timeout=patience(5))
    route = Route(("a.example",), Pool((closed,), health))
    with Reloading([host(a)], routes=(route,)) as running:

        def state():
            part = running.proxy.services[0].parts[1]
            return [each["state"] for each in part.upstreams.report()["upstreams"]]

        eventually(lambda: state() == ["down"], 30)
        routes = (Route(("a.example",), Pool((host(a), closed), health)),)
        running.reload(ServiceOptions((LISTEN,), (host(a),), routes=routes))
        assert state() == ["up", "down"]


def test_a_route_keeps_its_upstreams_where_its_service_has_others(servers):
    """They were the same, and shared."""
    a, b = host(servers[0]), host(servers[1])
    routes = (Route(("a.example",), Pool((a,))),)
    with Reloading([a], routes=routes) as running:
        assert len(running.proxy.services[0].parts) == 1
        running.reload(ServiceOptions((LISTEN,), (b,), routes=routes))
        parts = running.proxy.services[0].parts
        assert [each.options.upstreams for each in parts] == [(b,), (a,)]


def test_a_hundred_times_under_load(servers):
    """Half of them with other rules, so that another service has the socket: nobody is refused,
    and nothing is left."""
    place, stop, failures, served = free_place(), threading.Event(), [], []

    def serve(server):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = server.accept()
                with sock, contextlib.suppress(OSError):
                    sock.sendall(sock.recv(4))

    def ask():
        while not stop.is_set():
            try:
                with socket.create_connection(place.sockaddr, patience(10)) as sock:
                    sock.sendall(b"ping")
                    assert receive(sock, 4) == b"ping"
                served.append(1)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=serve, args=(each,), daemon=True) for each in servers[:2]]
    with Reloading([host(servers[0])], listen=(place,)) as running:
        clients = [threading.Thread(target=ask) for _ in range(3)]
        for each in (*threads, *clients):
            each.start()
        eventually(lambda: served)
        before = len(os.listdir("/proc/self/fd"))
        for turn in range(100):
            options = ServiceOptions(
                (place,), (host(servers[turn % 2]),), connect_timeout=5.0 + turn // 2 % 2
            )
            running.reload(options)
        stop.set()
        for each in clients:
            each.join(patience(20))
        assert not failures
        assert len(served) > 50
        eventually(lambda: running.proxy.clients.count == 0)
        assert len(os.listdir("/proc/self/fd")) < before + 20
        assert running.proxy.clients.refused == 0


def test_not_while_it_could_not_be_read_for_long(servers):
    """It is read in the asker's thread: the loop goes on meanwhile."""
    reading, go_on = threading.Event(), threading.Event()
    with Reloading([host(servers[0])]) as running:
        wanted = running._read

        def read():
            reading.set()
            go_on.wait(patience(10))
            return wanted()

        running.reloader._read = read
        running.reloader.begin()
        assert reading.wait(patience(10))
        talk(running.serves(servers[0]))
        go_on.set()
        eventually(lambda: running.told("reloaded: nothing has changed"))


def test_before_it_serves(servers):
    """A signal may come at any moment."""
    options = ServiceOptions((LISTEN,), (host(servers[0]),))
    proxy = Proxy(ProxyOptions((options,), "unit", relay=True))
    reloader = Reloader(proxy, lambda: None, lambda found: None)
    assert reloader.reload()["error"] == NOT_NOW
    proxy.open()
    assert reloader.reload()["error"] == NOT_NOW
    proxy.close()


def test_services_of_one_place_without_names(servers):
    """Port 0 is the place of many."""
    a, b = host(servers[0]), host(servers[1])
    with Reloading([a]) as running:
        both = ServiceOptions((LISTEN,), (a,)), ServiceOptions((LISTEN,), (b,))
        running.reload(*both)
        places = running.proxy.listening
        assert len(places) == 2
        assert running.reload(*both) == ["nothing has changed"]
        assert running.proxy.listening == places
        talk(running.serves(servers[0], places[0]))
        talk(running.serves(servers[1], places[1]))


def test_rules_of_clients_and_routes_are_told_and_hold(servers):
    with Reloading([host(servers[0])]) as running:
        old = running.serves(servers[0])
        told = running.reload(
            ServiceOptions(
                (LISTEN,),
                (host(servers[0]),),
                routes=(Route(("app.example",), Pool((host(servers[1]),))),),
                rules=Rules(deny=(parse_network("127.0.0.2"),), lifetime=0.3),
            )
        )
        assert told == [
            f"127.0.0.1:0 has the route app.example to {host(servers[1])}",
            "127.0.0.1:0 has deny 127.0.0.2/32",
            "127.0.0.1:0 has lifetime 0.3",
        ]
        for _ in range(4):  # of each worker
            with running.connect() as client:
                client.sendall(b"no TLS")
                upstream, _ = servers[0].accept()
                with upstream, pytest.raises(ConnectionResetError):
                    client.recv(1)
        told = running.reload(ServiceOptions((LISTEN,), (host(servers[0]),)))
        assert told == [
            "127.0.0.1:0 has no route app.example any more",
            "127.0.0.1:0 has deny none",
            "127.0.0.1:0 has lifetime none",
        ]
        time.sleep(1)  # longer than the other rules would have let it
        talk(old)


def test_a_service_may_come_to_have_routes_alone_and_many_are_told_of_in_a_few_lines(servers):
    def routes(count):
        return tuple(Route((f"a{number}",), Pool((host(servers[1]),))) for number in range(count))

    with Reloading([host(servers[0])], name="web") as running:
        told = running.reload(
            ServiceOptions((LISTEN,), (), "web", routes=routes(30), rules=Rules(only_routes=True))
        )
        assert told[0] == "web has no upstreams but those of its routes"
        assert told[1] == f"web has the route a0 to {host(servers[1])}"
        assert len(told) == 12
        assert told[-1] == "web has 20 more other routes"
        (service,) = running.proxy.services
        assert len(service.parts) == 2  # all routes have the same upstreams


def test_a_rule_that_goes_is_gone(servers):
    with Reloading([host(servers[0])], keepalive=7) as running:
        (sock,) = running.proxy.services[0].listeners
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        running.reload(ServiceOptions((LISTEN,), (host(servers[0]),)))
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_one_that_ends_or_has_ended(servers):
    running = Reloading([host(servers[0])])
    with running:
        pair = running.serves(servers[0])
        running.proxy.stop()
        wanted = ServiceOptions((LISTEN,), (host(servers[1]),))
        assert running.refused(wanted) == NOT_NOW
        talk(pair)
    assert running.refused(wanted) == NOT_NOW
