"""Names of proxies, their directories, and who answers there."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading

import pytest

from sockproxy.errors import PermissionDenied, SockproxyError, UsageError
from sockproxy.net.address import parse_address
from sockproxy.proxy.answers import SHAPES, read_answer
from sockproxy.proxy.asking import ask, ask_all
from sockproxy.proxy.control import QUESTIONS
from sockproxy.proxy.options import ProxyOptions, ServiceOptions
from sockproxy.proxy.proxy import Proxy
from sockproxy.rundir import check_name, running, take_name
from sockproxy.rundir import proxies as runtime
from sockproxy.rundir.proxies import clear_dead
from tests.support.sockets import tcp_pair


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The directory of all proxies, which is not there yet; its path is a long one."""
    path = tmp_path / ("x" * 100) / "sockproxy"
    monkeypatch.setattr(runtime, "runtime_root", lambda: path)
    return path


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../x", "a/b", ".a", "-a", "x" * 65, "a\n", "ä"]
)
def test_names_that_are_none(root, name):
    for check in (check_name, take_name):
        with pytest.raises(UsageError) as caught:
            check(name)
        assert len(str(caught.value)) < 200
    assert not root.exists()


def test_a_name_is_taken_once_and_given_back(root):
    taken = take_name("one")
    with pytest.raises(UsageError, match="running"):
        take_name("one")
    take_name("two").release()
    assert os.listdir(root) == ["one"]
    taken.release()
    assert os.listdir(root) == []


def test_what_the_dead_left_is_cleared(root):
    """And nothing behind a link, nor what is not one of ours."""
    take_name("one").release()
    (root / "dead").mkdir(mode=0o700)
    (root / "dead" / "lock").touch()
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "lock").touch()
    (root / "link").symlink_to(elsewhere)
    (root / "open").mkdir(mode=0o755)
    (root / "file").touch()
    take_name("one").release()
    assert sorted(os.listdir(root)) == ["file", "link", "open"]
    assert os.listdir(elsewhere) == ["lock"]


def test_a_root_of_others_is_refused(root):
    root.parent.mkdir()
    root.symlink_to(root.parent)
    for call in (running, lambda: take_name("one"), lambda: ask("one", "status")):
        with pytest.raises(PermissionDenied, match="symbolic link"):
            call()
    root.unlink()
    root.mkdir()
    root.chmod(0o777)
    for call in (running, lambda: take_name("one"), lambda: ask("one", "status")):
        with pytest.raises(PermissionDenied, match="chmod"):
            call()


def test_nothing_runs(root):
    assert running() == []
    with pytest.raises(SockproxyError, match="nothing named one is running"):
        ask("one", "status")


@pytest.fixture
def answering(root):
    """A function: from now on the proxy of that name sends these bytes, and holds on where there
    are none."""
    taken, threads, sockets = [], [], []

    def start(name, *parts):
        taken.append(take_name(name))
        listener = socket.socket(socket.AF_UNIX)
        taken[-1].bind(listener)
        listener.listen()
        sockets.append(listener)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    asker, _ = listener.accept()
                    sockets.append(asker)
                    with contextlib.suppress(OSError):  # one who only looked
                        for part in parts:
                            asker.sendall(part)
                        if parts:
                            asker.shutdown(socket.SHUT_WR)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()

    yield start
    for each in sockets:
        if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            each.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    for each in sockets:
        each.close()
    for each in taken:
        each.release()


def an_answer(name):
    document = dict.fromkeys(SHAPES["status"], 1)
    texts = ("path", "why_not", "why_no_cgroup", "why_no_short_circuit")
    lists = ("listen", "upstream", "short_circuits_in", "services", "workers", "refusals")
    empty = {**dict.fromkeys(texts, ""), **{each: [] for each in lists}}
    return {**document, "name": name, **empty}


def test_those_that_answer_do_though_others_do_not(answering):
    answering("good", json.dumps(an_answer("good")).encode())
    answering("silent")
    answering("mad", b"mad")
    assert running() == ["good", "mad", "silent"]
    waited = []
    answers = ask_all(running(), "status", 1.5, waited.append)
    assert answers["good"] == an_answer("good")
    assert "does not answer" in str(answers["silent"])
    assert "no proper answer" in str(answers["mad"])
    assert waited == ["waiting for silent to answer"]


def test_an_answer_in_pieces(answering):
    text = json.dumps(an_answer("good")).encode()
    answering("good", text[:10], text[10:11], text[11:])
    assert ask("good", "status")["name"] == "good"


def test_what_a_proxy_reports_has_the_shape():
    """A field that is shown must be in it, or no proxy of this version could be looked at."""
    options = ProxyOptions(
        (ServiceOptions((parse_address("127.0.0.1:0", passive=True),), ()),), "one", relay=True
    )
    proxy = Proxy(options)
    proxy.open()
    try:
        ends = [tcp_pair() for _ in range(2)]
        proxy.worker.first.add(ends[0][1], ends[1][1])
        for question, report in QUESTIONS.items():
            document = report(proxy)
            told = json.loads(json.dumps(document))
            assert read_answer("one", question, json.dumps(document).encode()) == told
    finally:
        proxy.close()
        for client, _ in ends:
            client.close()
    with pytest.raises(SockproxyError, match="no proper answer"):
        read_answer("one", "connections", b'{"name": "one", "pid": 1, "connections": [{}]}')


def test_a_command_that_begins_clears_what_dead_proxies_left(root):
    clear_dead()
    living = take_name("one")
    (root / "dead").mkdir(mode=0o700)
    (root / "dead" / "lock").touch()
    (root / "file").touch()
    clear_dead()
    assert sorted(os.listdir(root)) == ["file", "one"]
    living.release()
    root.chmod(0o777)
    clear_dead()
    assert os.listdir(root) == ["file"]


@pytest.fixture
def overtaken(root, monkeypatch):
    """The folder of a proxy that died; while it is being locked to be cleared, a proxy that starts
    takes its place."""
    take_name("other").release()
    (root / "one").mkdir(mode=0o700)
    lock_of = runtime._lock

    def late(folder):
        lock = lock_of(folder)
        monkeypatch.setattr(runtime, "_lock", lock_of)
        (root / "one" / "lock").unlink()
        (root / "one").rmdir()
        taken.append(take_name("one"))
        return lock

    taken = []
    monkeypatch.setattr(runtime, "_lock", late)
    yield root / "one"
    taken[0].release()


def test_a_proxy_that_starts_meanwhile_is_not_cleared(overtaken):
    clear_dead()
    assert (overtaken / "lock").exists()


def test_a_name_is_taken_though_a_command_clears_it_at_this_moment(root):
    """That command has the lock for as long as it takes to remove the folder."""
    take_name("other").release()
    (root / "one").mkdir(mode=0o700)
    with runtime.open_folder(root) as top, runtime.open_folder("one", top) as folder:
        lock = runtime._lock(folder)

        def clear():
            (root / "one" / "lock").unlink()
            (root / "one").rmdir()
            os.close(lock)

        timer = threading.Timer(0.03, clear)
        timer.start()
        take_name("one").release()
        timer.join()
