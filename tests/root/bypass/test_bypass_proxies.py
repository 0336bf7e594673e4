"""HTTP servers and proxies, plain and under a bypass: every file is the same file."""

from __future__ import annotations

import hashlib
import os

import pytest

from sockproxy.bypass.left_alone import must_be_left_alone
from tests.support.bypass import status
from tests.support.servers import haproxy, nginx, nginx_files, nginx_proxy, python_files, run

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(120)]

SIZES = {"empty": 0, "small": 1000, "medium": 100_000, "large": 300_000, "huge": 20_000_000}
# What a reader does with a large answer comes after it was seen to read small ones.
SEQUENCE = ["small", "small", "large", "small", "empty", "medium", "small", "huge", "small"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A directory with files of many sizes, and their checksums."""
    folder, sums = tmp_path_factory.mktemp("files"), {}
    for name, size in SIZES.items():
        data = hashlib.shake_128(name.encode()).digest(size)
        (folder / name).write_bytes(data)
        sums[name] = hashlib.sha256(data).hexdigest()
    return folder, sums


@pytest.fixture
def bypassed_messages(request, bypassed_messages):
    """As the fixture of all tests; of a proxy that must be left alone, how often it was."""
    params = request.node.callspec.params
    if (
        params["bypassed_messages"] == "bypassed"
        and params["web"].split("-")[0] in must_be_left_alone()
    ):
        return lambda: status()["programs"]
    return bypassed_messages


# Without --fail-early only the last transfer's failure would be told.
CURL = ["curl", "-sSf", "--fail-early", "--max-time", "10"]
SPLICE = ["option splice-auto", "option splice-request", "option splice-response"]
FRONTS = {
    "nginx": None,
    "nginx-proxy": [],
    "nginx-unbuffered": ["proxy_buffering off;", "proxy_request_buffering off;"],
    "haproxy": [],
    "haproxy-splice": SPLICE,
    "haproxy-splice-python": SPLICE,
}
TAKES_UPLOADS = [each for each in FRONTS if not each.endswith("python")]


@pytest.fixture(params=FRONTS)
def web(request, bypassed_messages, files, tmp_path):
    """nginx alone or behind a proxy; the address, before a name."""
    folder, _ = files
    options = FRONTS[request.param]
    server = nginx_files()
    if options is None:
        with nginx(tmp_path, server, files=folder):
            yield f"http://127.0.0.1:{server[0]}"
    elif request.param.startswith("nginx"):
        proxy = nginx_proxy(server[0], *options)
        with nginx(tmp_path, server, proxy, files=folder):
            yield f"http://127.0.0.1:{proxy[0]}"
    elif request.param.endswith("python"):
        # Its answers are bypassed to HAProxy wherever nginx is left alone.
        with python_files(folder) as upstream, haproxy(tmp_path, upstream, *options) as port:
            yield f"http://127.0.0.1:{port}"
    else:
        with nginx(tmp_path, server, files=folder), haproxy(tmp_path, server[0], *options) as port:
            yield f"http://127.0.0.1:{port}"


@pytest.mark.tools("nginx", "haproxy", "curl")
def test_downloads_on_one_connection(bypassed_messages, web, files, tmp_path):
    _, sums = files
    names = SEQUENCE * 3
    argv = [*CURL, "-w", "%{num_connects}\n"]
    for number, name in enumerate(names):
        argv += ["-o", tmp_path / f"got{number}", f"{web}/{name}"]
    assert run(*argv).split() == ["1"] + ["0"] * (len(names) - 1)
    for number, name in enumerate(names):
        got = hashlib.sha256((tmp_path / f"got{number}").read_bytes()).hexdigest()
        assert got == sums[name], (number, name)
    assert bypassed_messages() > 0


@pytest.mark.tools("nginx", "haproxy", "curl")
@pytest.mark.parametrize("web", TAKES_UPLOADS, indirect=True)
def test_uploads_on_one_connection(bypassed_messages, web, files):
    folder, sums = files
    os.makedirs(folder / "put", exist_ok=True)
    names = SEQUENCE * 3
    argv = [*CURL, "-H", "Expect:", "-w", "%{num_connects}\n"]
    for number, name in enumerate(names):
        argv += ["-T", folder / name, f"{web}/put/{number}"]
    assert run(*argv).split() == ["1"] + ["0"] * (len(names) - 1)
    for number, name in enumerate(names):
        got = hashlib.sha256((folder / "put" / str(number)).read_bytes()).hexdigest()
        assert got == sums[name], (number, name)
    assert bypassed_messages() > 0


@pytest.mark.tools("nginx", "haproxy", "wrk")
def test_many_clients(bypassed_messages, web):
    for name in ("small", "medium", "large"):
        out = run("wrk", "-t", "1", "-c", "16", "-d", "1s", f"{web}/{name}")
        assert "Socket errors" not in out, out
        assert "Non-2xx" not in out, out
        assert " 0 requests in" not in out, out
    assert bypassed_messages() > 0
