"""A node without BPF, and an API server that gives recorded answers, for the agent."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sockproxy.agent.bypasses import Attached
from sockproxy.errors import KernelError


class FakeBypasses:
    """Bypasses. names: the ids of each NAME's cgroups; stale: NAMEs with something left; fail:
    NAMEs that can be neither attached nor detached; observes: why all only observe; blind: seen()
    fails. done: what was asked."""

    def __init__(self, **names):
        self.names = {name.replace("_", "-"): set(ids) for name, ids in names.items()}
        self.stale, self.fail, self.done = set(), set(), []
        self.observes, self.drained, self.blind = "", True, False

    def prepare(self):
        self.done.append("prepare")

    def seen(self):
        if self.blind:
            raise KernelError("fake seen")
        return {name: Attached(ids, name in self.stale) for name, ids in self.names.items()}

    def attach(self, name, cgroups):
        self._step("attach", name)
        self.names[name] = {each.stat().st_ino for each in cgroups}
        self.stale.discard(name)
        return self.observes

    def detach(self, name):
        self._step("detach", name)
        if self.drained:
            del self.names[name]
        return self.drained

    def _step(self, what, name):
        self.done.append(f"{what} {name}")
        if name in self.fail:
            raise KernelError(f"fake {what}")


class FakeServer:
    """An API server on a port. answers: by "list", "watch" and "event", what is given one after the
    other, the last again and again: a status and a body. asked: what was asked, with its query.
    events: the bodies of those that were made."""

    def __init__(self, **answers):
        self.answers = {what: list(each) for what, each in answers.items()}
        self.asked, self.events = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                self._answer("watch" if "watch=" in self.path else "list")

            def do_POST(self):
                outer.asked.append(self.path)
                length = int(self.headers["Content-Length"])
                outer.events.append(json.loads(self.rfile.read(length)))
                self._answer("event")

            def _answer(self, what):
                answers = outer.answers.get(what, [(404, b"")])
                code, body = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self, folder):
        """The path of a kubeconfig that leads here; nobody answers after the `with`."""
        path = folder / "config"
        named = {"name": "x"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [named | {"cluster": {"server": self.url}}],
            "users": [named | {"user": {"token": "secret"}}],
            "contexts": [named | {"context": {"cluster": "x", "user": "x"}}],
        }
        path.write_text(json.dumps(document))
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield path
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
