"""What has the name of a proxy may answer anything, or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from sockproxy.proxy.answers import MOST_BYTES
from sockproxy.rundir import take_name
from tests.support.bypass import NAME, sockproxy
from tests.support.hostile import ESCAPE, NOBODY
from tests.support.mounts import mount
from tests.support.proxy import run_sockproxy, running_proxy

pytestmark = [pytest.mark.root, pytest.mark.bpf]

RUNTIME = Path("/run/sockproxy")
FAKE = f"{NAME}-fake"
STATUS = {
    "name": FAKE, "pid": 1, "age": 1.0, "listen": ["127.0.0.1:1"], "upstream": ["127.0.0.1:2"],
    "path": "parser", "why_not": "", "why_no_cgroup": "", "connections": 0,
    "connections_ended": 0, "connections_reset": 0, "connections_refused": 0,
    "refusals": [], "services": [], "redirected": 0, "pumped": 0, "holds": 0,
    "short_circuited": 0, "short_circuits_in": [], "why_no_short_circuit": "", "workers": [],
}  # fmt: skip
LONG = MOST_BYTES["status"] + 1000


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@contextlib.contextmanager
def answering(answer):
    """Something called FAKE that answers each question with these bytes; None: not at all."""
    taken = take_name(FAKE)
    with socket.socket(socket.AF_UNIX) as listener:
        taken.bind(listener)
        listener.listen(16)
        askers = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    asker, _ = listener.accept()
                    askers.append(asker)
                    if answer is not None:
                        with contextlib.suppress(OSError):
                            asker.recv(100)
                            asker.sendall(answer)
                        askers.pop().close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for asker in askers:
                asker.close()
            taken.release()


def is_harmless(text):
    """Whether a terminal would only show it."""
    return all(each.isprintable() or each == "\n" for each in text)


def harmless(*arguments, code):
    """A command that ends so, and prints nothing that a terminal would obey: all of it."""
    # What a fake one answers is shown, whatever fields of others it lacks or has.
    done = run_sockproxy(*arguments, as_described=FAKE not in arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert is_harmless(done.stdout + done.stderr)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b"1" * 100_000,
        json.dumps({**STATUS, "age": 1e308 * 10}).encode(),
        json.dumps({**STATUS, "age": True}).encode(),
        json.dumps({**STATUS, "redirected": 1 << 2000}).encode(),
        json.dumps({**STATUS, "redirected": -1}).encode(),
        json.dumps({**STATUS, "listen": [{}]}).encode(),
        json.dumps({**STATUS, "name": "another"}).encode(),
        json.dumps({key: STATUS[key] for key in STATUS if key != "holds"}).encode(),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_answer_is_said_to_be_none(answer):
    with answering(answer):
        assert "no proper answer" in harmless("status", FAKE, code=1)
        told = json.loads(run_sockproxy("status", FAKE, "--json").stdout)
        assert [each["name"] for each in told["unanswered"]] == [FAKE]
        assert told["proxies"] == []


def test_an_answer_has_an_end():
    with answering(b" " * LONG):
        assert "answers more than" in harmless("status", FAKE, code=1)


def test_escapes_do_not_reach_the_terminal():
    answer = {**STATUS, "path": ESCAPE, "why_not": ESCAPE, "listen": [ESCAPE], ESCAPE: ESCAPE}
    with answering(json.dumps(answer).encode()):
        assert r"\x1b[31mred" in harmless("status", FAKE, code=0)
        assert r"\x1b[31mred" in harmless("status", FAKE, "--json", code=0)
    way = {"state": ESCAPE, "why": ESCAPE, "redirected": 0, "pumped": 0, "dropped": 0, "holds": 0,
           "short_circuited": 0}  # fmt: skip
    pair = {"number": 1, "service": "", "client": [ESCAPE, 1], "upstream": ["::1", 2], "age": 1,
            "forward": way, "backward": way, "why_not_short_circuited": ESCAPE}  # fmt: skip
    answer = {"name": FAKE, "pid": 1, "connections": [pair]}
    with answering(json.dumps(answer).encode()):
        assert r"\x1b[31mred" in harmless("connections", FAKE, code=0)


def test_escapes_in_what_others_may_name(group):
    """A cgroup that was delegated, say, has directories of its user's making."""
    inner = group.path / f"a{ESCAPE}b"
    inner.mkdir()
    try:
        assert r"\x1b[31mred" in harmless(
            "attach", NAME, "--cgroup", inner, "--observe", "--force", code=0
        )
        assert r"\x1b[31mred" in harmless("status", NAME, code=0)
        assert "detached" in harmless("detach", NAME, code=0)
        assert r"\x1b[31mred" in harmless(
            "attach", NAME, "--cgroup", inner / "absent", "--observe", code=2
        )
    finally:
        inner.rmdir()


def test_one_that_does_not_answer_keeps_nobody_from_the_others(listener):
    with (
        answering(None),
        running_proxy(listener.getsockname(), "--relay") as one,
        running_proxy(listener.getsockname(), "--relay") as other,
    ):
        one.signal(signal.SIGSTOP)
        try:
            done = run_sockproxy("status", "--json")
            both = [done, run_sockproxy("connections", "--json")]
            lines = run_sockproxy("status").stdout.splitlines()
        finally:
            one.signal(signal.SIGCONT)
    assert done.returncode == 1
    for told in (json.loads(each.stdout) for each in both):
        assert {one.name, FAKE} <= {each["name"] for each in told["unanswered"]}
        assert other.name in [each["name"] for each in told["proxies"]]
    for name in (one.name, FAKE):
        assert any(line.startswith(f"{name}: ") and "does not answer" in line for line in lines)


def test_askers_that_ask_nothing_take_few_threads(listener):
    with (
        running_proxy(listener.getsockname(), "--relay") as proxy,
        contextlib.ExitStack() as idle,
    ):
        for _ in range(200):
            asker = idle.enter_context(socket.socket(socket.AF_UNIX))
            asker.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                asker.connect(str(RUNTIME / proxy.name / "control.sock"))
        assert len(os.listdir(f"/proc/{proxy.pid}/task")) < 30
        idle.close()
        assert proxy.status()["connections"] == 0


# Others are tried in tests/unit.
BAD = ["", "../../x", "x" * 100_000, ESCAPE, "a\nb\udcff"]


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
def test_names_that_are_none(group, name):
    cgroup = ["--cgroup", group.path, "--observe"]
    for command in (
        ["status", "--", name], ["connections", "--", name], ["detach", "--", name],
        ["attach", *cgroup, "--", name],
        ["proxy", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--relay",
         f"--name={name}"],
        ["run", name, "--", "true"],
    ):  # fmt: skip
        text = harmless(*command, code=2)
        assert len(text) < 500


def test_a_control_socket_outside_of_our_directory_is_not_asked(tmp_path):
    asked = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen(1)
        listener.settimeout(0.5)
        harmless("status", f"../../..{tmp_path}", code=2)
        # Nor by a link, though only root could make one there.
        link = RUNTIME / FAKE
        RUNTIME.mkdir(mode=0o700, exist_ok=True)
        link.symlink_to(tmp_path)
        try:
            harmless("status", FAKE, code=1)
        finally:
            link.unlink()
        with pytest.raises(TimeoutError):
            asked.append(listener.accept())


@pytest.mark.parametrize(("mode", "owner"), [("0700", NOBODY), ("0777", 0), ("1777", 0)])
def test_a_runtime_directory_of_others_is_refused(mounts, mode, owner):
    RUNTIME.mkdir(mode=0o700, exist_ok=True)
    mount("tmpfs", RUNTIME, f"mode={mode},uid={owner}")
    (RUNTIME / "planted").mkdir()
    (RUNTIME / "planted" / "lock").touch()
    before = sorted(RUNTIME.rglob("*"))
    proxy = ["proxy", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--relay"]
    text = harmless(*proxy, "--name", FAKE, code=3)
    assert len(text.strip().splitlines()) == 1
    assert str(RUNTIME) in text
    assert "proxies are not shown" in harmless("status", code=0)
    harmless("status", "planted", code=1)
    assert sorted(RUNTIME.rglob("*")) == before


def test_a_name_may_be_of_both(group, listener):
    with running_proxy(listener.getsockname(), "--relay") as proxy:
        sockproxy("attach", proxy.name, "--cgroup", group.path, "--observe", "--force")
        try:
            for command in ("status", "connections"):
                told = json.loads(sockproxy(command, proxy.name, "--json"))
                assert [len(told[each]) for each in ("proxies", "bypasses")] == [1, 1]
        finally:
            sockproxy("detach", proxy.name)
