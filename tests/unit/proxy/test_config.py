"""Configuration files: what they say, and where they are wrong."""

from __future__ import annotations

import pytest

from sockproxy.errors import UsageError
from sockproxy.net.systemd import Passed
from sockproxy.proxy.config import read_configuration
from sockproxy.proxy.options import usual_workers
from sockproxy.proxy.pool import Health, parse_upstreams
from sockproxy.units import Rate

SERVICE = '[[service]]\nlisten = "127.0.0.1:1"\nupstream = "127.0.0.1:2"\n'
ROUTE = '[[service.route]]\nname = "a"\nupstream = "127.0.0.1:2"\n'
GROUP = '[[group]]\nname = "app"\nupstream = "127.0.0.1:9"\n'


def upstreams(these):
    return f'[[service]]\nlisten = "127.0.0.1:1"\nupstream = [{these}]\n'


ALL = """
name = "edge"
workers = 3
max-connections = 10
budget = "64KiB"
idle-timeout = "1h"
grace = "2s"
eager = true
short-circuit = false
log-level = "warning"
log-format = "json"

[[service]]
name = "web"
listen = ["127.0.0.1:8080", "[::1]:8080", "systemd:web"]
upstream = "app"
connect-timeout = "500ms"
mark = 80
nodelay = false
keepalive = 30
balance = "source"
allow = ["10.0.0.0/8", "2001:db8::/32"]
deny = "10.1.2.3"
accept-proxy = "127.0.0.1"
max-per-client = 20
rate-per-client = "30/10m"
hello-timeout = "2s"
idle-timeout = "5m"
lifetime = "24h"

[[service.route]]
name = ["app.example", "*.App.example."]
upstream = ["127.0.0.3:1"]

[[service.route]]
name = "other.example"
upstream = "app"

[[service]]
listen = ":0"
upstream = "original-dst"

[[service]]
name = "tls"
listen = ":1"

[[service.route]]
name = "app.example"
upstream = "original-dst"

[[group]]
name = "app"
upstream = ["127.0.0.1:9000", {address = "127.0.0.2:9000", weight = 3, max-connections = 100}]
slow-start = "30s"

[group.health]
interval = "5s"
timeout = "1s"
rise = 1
fall = 4
send = "PING\\r\\n\\u00ff"
expect = "+PONG"
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="edge.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_all_that_can_be_said(written):
    found = read_configuration(written(ALL, "other.toml"))
    options = found.options
    assert (found.log_level, found.log_format) == ("warning", "json")
    assert (options.name, options.workers, options.max_connections) == ("edge", 3, 10)
    assert (options.budget, options.idle_timeout, options.grace) == (65536, 3600.0, 2.0)
    assert (options.eager, options.relay, options.short_circuit) == (True, False, False)
    web, sidecar, tls = options.services
    assert (web.name, web.connect_timeout, web.mark, web.nodelay) == ("web", 0.5, 80, False)
    assert (web.keepalive, web.balance) == (30, "source")
    assert [str(each) for each in web.listen] == ["127.0.0.1:8080", "[::1]:8080", "systemd:web"]
    assert web.listen[2] == Passed("web")
    assert web.upstream_names == ["127.0.0.1:9000", "127.0.0.2:9000"]
    assert [(each.weight, each.most) for each in web.upstreams] == [(1, None), (3, 100)]
    assert web.health == Health(5.0, 1.0, 1, 4, b"PING\r\n\xff", b"+PONG")
    assert web.slow_start == 30.0
    assert (sidecar.health, sidecar.slow_start) == (None, 0.0)
    assert sidecar.upstreams == ()
    assert sidecar.upstream_names == ["original-dst"]
    assert sidecar.is_original
    rules = web.rules
    assert [str(each) for each in rules.allow] == ["10.0.0.0/8", "2001:db8::/32"]
    assert [str(each) for each in rules.deny] == ["10.1.2.3/32"]
    assert [str(each) for each in rules.accept_proxy] == ["127.0.0.1/32"]
    assert (rules.max_per_client, rules.rate_per_client) == (20, Rate(30, 600.0))
    assert (rules.hello_timeout, rules.idle_timeout, rules.lifetime) == (2.0, 300.0, 86400.0)
    assert not rules.only_routes
    assert web.routed_names == {
        "app.example": "127.0.0.3:1",
        "*.app.example": "127.0.0.3:1",
        "other.example": "127.0.0.1:9000, 127.0.0.2:9000",
    }
    assert tls.rules.only_routes
    assert (tls.upstreams, tls.upstream_names, tls.is_original) == ((), [], False)
    assert tls.routed_names == {"app.example": "original-dst"}


def test_what_is_left_out_is_as_on_the_command_line(written):
    found = read_configuration(written(SERVICE))
    options = found.options
    assert (found.log_level, found.log_format) == ("info", "auto")
    assert (options.name, options.workers) == ("edge", usual_workers())
    assert (options.max_connections, options.budget, options.grace) == (4096, 1 << 20, 10.0)
    assert options.idle_timeout is None
    assert options.short_circuit
    assert options.parser
    (service,) = options.services
    assert (service.connect_timeout, service.nodelay) == (10.0, True)
    assert (service.mark, service.keepalive, service.name) == (None, None, "")


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", None, "service: missing"),
        ("nam = 1\n" + SERVICE, 1, "nam: unknown; known are budget"),
        ("name = 7\n" + SERVICE, 1, "name: must be a text"),
        ('name = "../x"\n' + SERVICE, 1, "name: "),
        ("workers = 0\n" + SERVICE, 1, "workers: must be a whole number from 1 to 256"),
        ("max-connections = 500001\n" + SERVICE, 1, "max-connections: must be a whole number"),
        ('budget = "1KiB"\n' + SERVICE, 1, "budget: must be from 4 KiB to 1 GiB"),
        ('budget = "much"\n' + SERVICE, 1, "budget: size 'much'"),
        ("budget = true\n" + SERVICE, 1, "budget: must be a size"),
        ('grace = "soon"\n' + SERVICE, 1, "grace: duration 'soon'"),
        ("idle-timeout = []\n" + SERVICE, 1, "idle-timeout: must be a time"),
        ("idle-timeout = 0\n" + SERVICE, 1, "idle-timeout: duration '0'"),
        ('relay = "yes"\n' + SERVICE, 1, "relay: must be true or false"),
        ("relay = true\neager = true\n" + SERVICE, 1, "relay: excludes eager"),
        ("verdict-only = true\n" + SERVICE, 1, "verdict-only: without force loses the promise"),
        ('log-level = "loud"\n' + SERVICE, 1, "log-level: 'loud' is none of error, warning"),
        ('log-format = "xml"\n' + SERVICE, 1, "log-format: 'xml' is none of auto, text"),
        ("[service]\n", 1, "service: must be tables: [[service]]"),
        ('[[service]]\nupstream = "127.0.0.1:2"\n', 1, "service 1: listen: missing"),
        ('[[service]]\nlisten = "127.0.0.1:1"\n', 1, "service 1: upstream: missing"),
        (SERVICE + "colour = 1\n", 4, "service 1: colour: unknown"),
        (SERVICE + "balance = 'best'\n", 4, "service 1: balance: 'best' is none of round-robin"),
        (SERVICE + "mark = 0\n", 4, "service 1: mark: must be a whole number from 1"),
        (SERVICE + "unix-mode = 660\n", 4, "service 1: unix-mode: must be a text"),
        (SERVICE + 'unix-mode = "660"\n', 4, "service 1: unix-mode: unix-mode is for files"),
        (SERVICE + 'unix-mode = "rw"\n', 4, "service 1: unix-mode: mode 'rw'; write three octal"),
        (
            '[[service]]\nlisten = "unix:here"\nupstream = "127.0.0.1:2"\n',
            2,
            "service 1: listen: address 'unix:here'; write it as unix:/PATH, or unix:@NAME",
        ),
        (
            '[[service]]\nlisten = "unix:/x"\nupstream = "original-dst"\n',
            3,
            "service 1: upstream: original-dst: clients of unix:/x were never redirected",
        ),
        (
            2 * '[[service]]\nlisten = "unix:/x:0"\nupstream = "unix:@up"\n',
            1,
            "service: 2 listens on unix:/x:0 as 1 does",
        ),
        (SERVICE + "keepalive = 40000\n", 4, "service 1: keepalive: must be"),
        (SERVICE + 'connect-timeout = "-1s"\n', 4, "service 1: connect-timeout: duration"),
        ('[[service]]\nlisten = "nowhere"\nupstream = "127.0.0.1:2"\n', 2, "service 1: listen: "),
        ('[[service]]\nlisten = []\nupstream = "127.0.0.1:2"\n', 2, "service 1: listen: must be"),
        (
            '[[service]]\nlisten = "127.0.0.1:1"\nupstream = "app"\n',
            3,
            "service 1: upstream: no group is called app",
        ),
        (
            '[[service]]\nlisten = "127.0.0.1:1"\nupstream = ["original-dst", "127.0.0.1:2"]\n',
            3,
            "service 1: upstream: original-dst stands alone",
        ),
        (2 * (SERVICE + 'name = "a"\n'), 1, "service: there is another service a"),
        (SERVICE + SERVICE, 1, "service: 2 listens on 127.0.0.1:1 as 1 does"),
        (SERVICE + "[[group]]\nupstream = []\n", 4, "group 1: name: missing"),
        (
            SERVICE + '[[group]]\nname = "a:b"\nupstream = "127.0.0.1:2"\n',
            5,
            "group 1: name: must be a text without a colon",
        ),
        (
            SERVICE + 2 * '[[group]]\nname = "a"\nupstream = "127.0.0.1:2"\n',
            8,
            "group 2: name: there is another group a",
        ),
        (
            (
                '[[service]]\nlisten = "127.0.0.1:1"\nupstream = ["a", "127.0.0.1:3"]\n'
                '[[group]]\nname = "a"\nupstream = "127.0.0.1:2"\n'
            ),
            3,
            "service 1: upstream: a group stands alone",
        ),
        (
            upstreams('{address = "127.0.0.1:2", weight = 257}'),
            3,
            "service 1: upstream 1: weight: must be a whole number from 0 to 256",
        ),
        (
            upstreams('"127.0.0.1:2", {address = "127.0.0.1:3", weigth = 2}'),
            3,
            "service 1: upstream 2: weigth: unknown; known are address, max-connections, weight",
        ),
        (upstreams("{weight = 2}"), 3, "service 1: upstream 1: address: missing"),
        (
            upstreams('{address = "nowhere"}'),
            3,
            "service 1: upstream 1: address: address 'nowhere'",
        ),
        (
            upstreams('{address = "127.0.0.1:2", max-connections = 0}'),
            3,
            "service 1: upstream 1: max-connections: must be a whole number from 1",
        ),
        (
            upstreams('"127.0.0.1:2", {address = "127.0.0.1:2"}'),
            3,
            "service 1: upstream: 127.0.0.1:2 is there twice",
        ),
        (upstreams("1"), 3, "service 1: upstream: must be a text or a table"),
        (upstreams('"a:1,weight=3"'), 3, "service 1: upstream: address 'a:1,weight=3'"),
        (
            upstreams('"original-dst"') + 'slow-start = "1s"\n',
            4,
            "service 1: slow-start: is for upstreams, and not for original-dst",
        ),
        (upstreams('"original-dst", {address = "127.0.0.1:2"}'), 3, "service 1: upstream: "),
        (SERVICE + "health = 1\n", 4, "service 1: health: must be a table"),
        (SERVICE + "health = {interval = 'x'}\n", 4, "service 1: health: interval: duration 'x'"),
        (
            SERVICE + "[service.health]\nrise = 2\nfall = 0\n",
            6,
            "service 1: health: fall: must be a whole number from 1 to 100",
        ),
        (
            SERVICE + '[service.health]\nexpect = "\u20ac"\n',
            5,
            "service 1: health: expect: each character is one byte",
        ),
        (
            SERVICE + f'[service.health]\nsend = "{4097 * "x"}"\n',
            5,
            "service 1: health: send: must be 4096 bytes at most",
        ),
        (
            SERVICE + '[service.health]\ninterval = "1ms"\n',
            5,
            "service 1: health: interval: must be 50ms at least",
        ),
        (SERVICE + '[service.health]\nuri = "/"\n', 5, "service 1: health: uri: unknown"),
        (
            SERVICE + GROUP + "[group.health]\ntimeout = []\n",
            8,
            "group 1: health: timeout: must be a time",
        ),
        (
            SERVICE + GROUP + GROUP.replace("app", "b") + "[group.health]\nrise = 'x'\n",
            11,
            "group 2: health: rise: must be a whole number",
        ),
        (SERVICE + GROUP + "slow-start = 0\n", 7, "group 1: slow-start: duration '0'"),
        (
            SERVICE.replace("127.0.0.1:2", "app") + "[service.health]\n" + GROUP,
            4,
            "service 1: health: belongs to the group app",
        ),
        (SERVICE + 'allow = "10.0.0.1/8"\n', 4, "service 1: allow: network '10.0.0.1/8'; write 10"),
        (SERVICE + 'deny = ["all"]\n', 4, "service 1: deny: network 'all'; write a network such"),
        (SERVICE + "accept-proxy = []\n", 4, "service 1: accept-proxy: must be a text or a list"),
        (SERVICE + "max-per-client = 0\n", 4, "service 1: max-per-client: must be a whole number"),
        (SERVICE + 'rate-per-client = "fast"\n', 4, "service 1: rate-per-client: rate 'fast'"),
        (SERVICE + "hello-timeout = 0\n", 4, "service 1: hello-timeout: duration"),
        (SERVICE + "route = 1\n", 4, "service 1: route: must be tables"),
        (SERVICE + "[[ service . route ]]\n", 4, "service 1: route 1: name: missing"),
        (
            SERVICE + 'allow = "fe80::1%lo"\n',
            4,
            "service 1: allow: network 'fe80::1%lo'; leave",
        ),
        (
            SERVICE + "".join(ROUTE.replace('"a"', f'"a{number}"') for number in range(10_001)),
            4,
            "service 1: route: 10001 names; there may be 10000",
        ),
        (SERVICE + "[[service.route]]\n", 4, "service 1: route 1: name: missing"),
        (SERVICE + '[[service.route]]\nname = "a.b"\n', 4, "service 1: route 1: upstream: missing"),
        (
            SERVICE + '[[service.route]]\nname = "a..b"\nupstream = "127.0.0.1:2"\n',
            5,
            "service 1: route 1: name: 'a..b' is no name",
        ),
        (
            SERVICE.replace(":1", ":3") + ROUTE + SERVICE + 2 * ROUTE,
            14,
            "service 2: route 2: name: there is another route for a",
        ),
        (
            SERVICE + '[[service.route]]\nname = "a"\nupstream = "b"\n',
            6,
            "service 1: route 1: upstream: no group is called b",
        ),
        ("name = 'x\n", 1, ""),
        ("name = \n", 1, ""),
        ("[[service]]\nlisten = [\n", 2, ""),
    ],
)
def test_what_is_wrong_is_one_line_that_says_where(written, text, line, told):
    path = written(text)
    with pytest.raises(UsageError) as caught:
        read_configuration(path)
    said = str(caught.value)
    assert said.startswith(f"{path}:{line}: {told}" if line else str(path)), said
    assert told in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("where", ["missing.toml", ".", "/dev/zero"])
def test_what_is_no_file(tmp_path, where):
    with pytest.raises(UsageError):
        read_configuration(tmp_path / where)


def test_a_time_may_be_a_number_of_seconds(written):
    assert read_configuration(written("grace = 2.5\n" + SERVICE)).options.grace == 2.5


def test_port_0_is_another_one_each_time(written):
    service = SERVICE.replace(":1", ":0")
    assert len(read_configuration(written(service + service)).options.services) == 2


def test_unix_sockets(written):
    text = (
        '[[service]]\nlisten = ["unix:/a", "unix:@b"]\nupstream = "unix:/c"\nunix-mode = "0660"\n'
    )
    (service,) = read_configuration(written(text)).options.services
    assert [str(each) for each in service.listen] == ["unix:/a", "unix:@b"]
    assert service.upstream_names == ["unix:/c"]
    assert service.unix_mode == "0660"


def test_checks_as_they_are_where_nothing_is_said(written):
    (service,) = read_configuration(written(SERVICE + "health = {}\n")).options.services
    assert service.health == Health(2.0, 2.0, 2, 3, b"", b"")


def test_a_route_has_weights_and_checks_of_its_own(written):
    text = SERVICE + ROUTE.replace('"127.0.0.1:2"', '{address = "127.0.0.1:2", weight = 0}')
    (service,) = read_configuration(
        written(text + "slow-start = 3\nhealth = {}\n")
    ).options.services
    assert (service.health, service.slow_start) == (None, 0.0)
    (route,) = service.routes
    pool = route.pool
    assert (pool.health, pool.slow_start, pool.upstreams[0].weight) == (Health(), 3.0, 0)


@pytest.mark.parametrize(
    ("text", "weight", "most"),
    [("127.0.0.1:2", 1, None), ("127.0.0.1:2,weight=0", 0, None),
     ("[::1]:2,max-connections=7,weight=256", 256, 7)],
)  # fmt: skip
def test_upstreams_of_the_command_line(text, weight, most):
    (found,) = parse_upstreams([text])
    assert (str(found), found.weight, found.most) == (text.partition(",")[0], weight, most)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["127.0.0.1:2,weight=257"], "weight is from 0 to 256"),
        (["127.0.0.1:2,weight=-1"], "weight is from 0 to 256"),
        (["127.0.0.1:2,weight="], "weight is from 0 to 256"),
        (["127.0.0.1:2,max-connections=0"], "max-connections is from 1 to 500000"),
        (["127.0.0.1:2,colour=1"], "write it as ADDR:PORT,weight=N"),
        (["127.0.0.1:2,"], "write it as ADDR:PORT,weight=N"),
        (["127.0.0.1:2,weight=1,weight=2"], "write it as ADDR:PORT,weight=N"),
        (["127.0.0.1:2", "127.0.0.1:2,weight=2"], "is there twice"),
        (["original-dst,weight=2"], "address"),
    ],
)
def test_what_is_no_upstream(texts, told):
    with pytest.raises(UsageError, match=told):
        parse_upstreams(texts)
