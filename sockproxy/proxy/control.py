"""Answers questions about a running proxy on a unix socket."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sockproxy.proxy.asking import ANSWER_TIME
from sockproxy.proxy.takeover import Taken, give_sockets
from sockproxy.rundir import Name
from sockproxy.worker.descriptors import SHORTAGE, SHORTAGE_PAUSE
from sockproxy.worker.stats import document, sum_of

if TYPE_CHECKING:
    from sockproxy.proxy.proxy import Proxy
    from sockproxy.proxy.service import ProxyService

__all__ = ["Control", "connections_report", "status_report"]

log = logging.getLogger("sockproxy.proxy")

MOST_ASKERS = 16  # at once, each with a thread of its own
QUESTION_TIME = 2.0  # seconds from the connection to the question
LONGEST_QUESTION = 64  # bytes


def status_report(proxy: Proxy) -> dict[str, Any]:
    """What `sockproxy status --json` shows of one proxy. Times in seconds, sizes in bytes."""
    worker, options = proxy.worker, proxy.options
    why_not, kernel = worker.why_not, worker.kernel  # in this order: one may come meanwhile
    each = worker.sums_of_each()
    ended, live = sum_of(one.ended for one in each), sum_of(one.live for one in each)
    return {
        "name": options.name,
        "kind": "proxy",
        "pid": os.getpid(),
        "since": proxy.started,
        "age": time.time() - proxy.started,
        "listen": [str(address) for address in proxy.listening],
        "upstream": [name for one in proxy.services for name in one.options.upstream_names],
        "services": [_service(one) for one in proxy.services],
        "accelerated": kernel is not None,
        "path": "relay" if kernel is None else "parser" if options.parser else "verdict-only",
        "why_not": why_not if kernel is None else "",
        "why_no_cgroup": proxy.why_no_cgroup,
        "cgroup_id": proxy.cgroup_id,
        "listens_on_foreign": proxy.listens_on_foreign,
        "budget": options.budget,
        "max_connections": proxy.max_connections,
        "connections": live.pairs,
        "connections_ended": ended.pairs,
        "connections_reset": ended.reset,
        "connections_refused": proxy.clients.refused,
        "refusals": [
            {"why": why, "clients": count} for why, count in proxy.clients.refused_for.most_common()
        ],
        "redirected": ended.redirected + live.redirected,
        "pumped": ended.pumped + live.pumped,
        "short_circuited": ended.short_circuited + live.short_circuited,
        "short_circuits_in": [each.name for each in worker.circuits],
        "why_no_short_circuit": "" if worker.circuits else worker.why_no_circuits,
        "dropped": ended.dropped + live.dropped,
        "holds": ended.holds + live.holds,
        "workers": [
            {"connections": one.live.pairs, "connections_ended": one.ended.pairs} for one in each
        ],
        "enrolments": kernel.enrolments() if kernel is not None else None,
    }


def connections_report(proxy: Proxy) -> dict[str, Any]:
    """What `sockproxy connections --json` shows of one proxy: its live pairs."""
    live = proxy.worker.read().live
    pairs = [
        {**document(stats), "service": proxy.service_of(stats.service).options.name}
        for stats in live
    ]
    return {"name": proxy.options.name, "pid": os.getpid(), "connections": pairs}


def metrics_report(proxy: Proxy) -> dict[str, Any]:
    """What `sockproxy metrics` shows of one proxy: its status, and what connections have in common.
    lives and sizes: how many that have ended are in each class of sockproxy.worker.classes."""
    tally = proxy.worker.tally()
    return {
        **status_report(proxy),
        "lives": tally.lives,
        "sizes": tally.sizes,
        "lived": tally.lived,
        "carried": tally.carried,
        "outcomes": [{"why": why, "count": count} for why, count in tally.outcomes.items()],
        "reasons": [
            {"what": what, "state": state, "why": why, "count": count}
            for (what, state, why), count in tally.reasons.items()
        ],
    }


def _service(service: ProxyService) -> dict[str, Any]:
    options = service.options
    return {
        "name": options.name,
        "listen": [str(address) for address in service.listening],
        "upstream": options.upstream_names,
        "balance": options.balance,
        **service.upstreams.report(),
        "routes": len(options.routes),
        "routed": [
            {"upstream": each.options.upstream_names, **each.upstreams.report()}
            for each in service.parts[1:]
        ],
    }


def reload_report(proxy: Proxy) -> dict[str, Any]:
    """What `sockproxy reload --json` shows: what has changed, or why nothing has."""
    told = {"changes": [], "error": "it was not started with --config: there is nothing to read"}
    if proxy.reloader is not None:
        told = proxy.reloader.reload()
    return {"name": proxy.options.name, "pid": os.getpid(), **told}


def retire_report(proxy: Proxy) -> dict[str, Any]:
    """What another proxy is told that takes over: who drains from then on."""
    return {"name": proxy.options.name, "pid": os.getpid()}


QUESTIONS: dict[str, Callable[[Proxy], dict[str, Any]]] = {
    "status": status_report,
    "connections": connections_report,
    "metrics": metrics_report,
    "reload": reload_report,
    "retire": retire_report,
}


WAITS_FOR_THE_LOOP = {"reload"}
"""Not under the lock, for which the loop may wait."""


class Control:
    """The unix socket of one proxy. Its loop accepts; a thread for each question reads what the
    worker and the proxy show to every thread, so that no question stops the connections."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._name: Name | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._askers = 0
        self._closed = False
        self._reporting = threading.Lock()  # what is reported is closed only after it

    def hold(self, name: Name) -> None:
        """Have the name by which it is asked, and release it in the end."""
        self._name = name

    def open(self) -> None:
        """Answer from now on, by the name that it holds."""
        assert self._name is not None
        self._listener.setblocking(False)
        self._name.bind(self._listener)
        self._listener.listen(MOST_ASKERS)
        self._accept_again()

    def _accept_again(self) -> None:
        self._proxy.worker.loop.watch(self._listener.fileno(), select.EPOLLIN, self._accept)

    def _accept(self, _events: int) -> None:
        try:
            asker, _ = self._listener.accept()
        except OSError as error:
            if error.errno in SHORTAGE:
                self._pause()
            return
        # A thread waits for the question: the loop waits for nobody.
        try:
            threading.Thread(target=self._serve, args=(asker,), daemon=True).start()
        except RuntimeError:  # there may be no more of them now
            asker.close()
            self._pause()
            return
        self._askers += 1
        if self._askers == MOST_ASKERS:  # others wait until one has gone
            self._proxy.worker.loop.unwatch(self._listener.fileno())

    def _pause(self) -> None:
        """Accept nobody for a moment: epoll is level-triggered, and would tell of those who wait
        again at once."""
        self._proxy.worker.loop.unwatch(self._listener.fileno())
        self._proxy.worker.loop.later(SHORTAGE_PAUSE, self._accept_after_shortage)

    def _accept_after_shortage(self) -> None:
        if not self._closed:
            self._accept_again()

    def _serve(self, asker: socket.socket) -> None:
        try:
            with asker:
                self._answer(asker)
        finally:
            if not self._closed:
                with contextlib.suppress(OSError):  # the loop has ended at this moment
                    self._proxy.worker.loop.call(self._gone)

    def _gone(self) -> None:
        self._askers -= 1
        if self._askers == MOST_ASKERS - 1 and not self._closed:
            self._accept_again()

    def _answer(self, asker: socket.socket) -> None:
        question = _read_question(asker)
        if question == "sockets":
            self._give_sockets(asker)
            return
        report = QUESTIONS.get(question)
        if report is None:
            return
        if question in WAITS_FOR_THE_LOOP:
            answer = report(self._proxy)
        else:
            with self._reporting:
                if self._closed:
                    return
                answer = report(self._proxy)
        asker.settimeout(ANSWER_TIME)
        try:
            asker.sendall(json.dumps(answer).encode())
        except OSError:
            return  # who asked has gone
        if question == "retire":
            self._proxy.worker.loop.call(self._retire)

    def _give_sockets(self, asker: socket.socket) -> None:
        """They are dup()ed on the loop's thread, which may be about to close them."""
        taken: Taken = []
        with contextlib.suppress(OSError):
            self._proxy.worker.loop.do(lambda: taken.extend(self._proxy.taken))
        with contextlib.suppress(OSError):
            give_sockets(asker, taken)
        for _, sockets in taken:
            for sock in sockets:
                sock.close()

    def _retire(self) -> None:
        log.info("another one has taken over")
        self._proxy.stop_listening()  # before it learns that by the name, which is free then
        self.close()
        if self._proxy.serves:  # or this would be the second stop, which waits for nobody
            self._proxy.stop()

    def close(self) -> None:
        """Answer no more and give the name back. Before the proxy closes what is reported. Twice
        is allowed."""
        with self._reporting:
            if self._closed:
                return
            self._closed = True
        self._listener.close()
        if self._name is not None:
            self._name.release()


def _read_question(asker: socket.socket) -> str:
    """One word on a line; "" when none came in time."""
    deadline = time.monotonic() + QUESTION_TIME
    heard = b""
    try:
        while b"\n" not in heard and len(heard) < LONGEST_QUESTION:
            asker.settimeout(max(0.001, deadline - time.monotonic()))
            part = asker.recv(LONGEST_QUESTION)
            if not part:
                break
            heard += part
        return heard.decode("ascii").strip()
    except (OSError, ValueError):
        return ""
