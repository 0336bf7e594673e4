"""All server ends or all client ends of a flow, in one process that tests.support.endpoints runs.

    python -m tests.support.flow_peer {"role":…, "address":[host, port], "flow":{…}}

It prints lines of JSON: {"listening":[host, port]} from the server, {"moved":bytes} now and
then, at last a report (see `Peer.report`). A client begins at the line "go" on stdin. The
end of a server's stdin says that no more clients will come; SIGTERM asks for the report now.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections import Counter

from tests.support.flow import Flow
from tests.support.flow_end import End, WrongEnd
from tests.support.pattern import IntegrityError

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
CONNECTING = 100  # connections in their handshake at a time, that no backlog overflows
BEAT = 0.2  # seconds between two lines about progress


def family(host):
    """The address family of a numeric host."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def say(**line):
    """One line of JSON to whoever started this process."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Asked(Exception):
    """The report is wanted now."""


class Peer:
    """The ends of a flow that one process has."""

    def __init__(self, flow, role):
        self.flow, self.role = flow, role
        self.selector = selectors.DefaultSelector()
        self.ends = set()
        self.outcomes = Counter()
        self.moved = 0  # bytes and events of ends that are gone
        self.received = 0
        self._asleep = []  # heap of (when, tie-break, end)
        self._ties = itertools.count()
        self._numbers = set()
        self._begun = time.monotonic()
        self._beaten = 0.0

    def adopt(self, end):
        self.ends.add(end)
        end.mask = 0
        self.update(end)

    def update(self, end):
        """Wait for what the end wants now, or let it go if it is done."""
        if end.outcome is not None:
            self.release(end)
            return
        mask = (READ if end.wants_read else 0) | (WRITE if end.wants_write else 0)
        # A sleeper is off the selector, or the hangup of its peer would spin the loop.
        if not mask & READ and end.wakes > time.monotonic():
            heapq.heappush(self._asleep, (end.wakes, next(self._ties), end))
        if mask == end.mask:
            return
        if not end.mask:
            self.selector.register(end.sock, mask, end)
        elif mask:
            self.selector.modify(end.sock, mask, end)
        else:
            self.selector.unregister(end.sock)
        end.mask = mask

    def release(self, end):
        if end.mask:
            self.selector.unregister(end.fd)
        self.ends.discard(end)
        self.outcomes[end.outcome] += 1
        self.moved += end.moved + 1
        self.received += end.received

    def serve(self, end, mask):
        """Do for an end what the selector said."""
        end.fd = end.sock.fileno()
        known = end.number
        if mask & READ:
            end.readable()
        if mask & WRITE and end.outcome is None:
            end.writable()
        if known is None and end.number is not None:
            if end.number in self._numbers:
                raise IntegrityError(f"connection {end.number} came to the server twice")
            self._numbers.add(end.number)
        self.update(end)

    def run(self, finished, react):
        """Serve the ends until `finished()`; `react(key data)` to any other event."""
        while not finished():
            for key, mask in self.selector.select(self._wait()):
                if isinstance(key.data, End):
                    self.serve(key.data, mask)
                else:
                    react(key.data)
            now = time.monotonic()
            while self._asleep and self._asleep[0][0] <= now:
                end = heapq.heappop(self._asleep)[2]
                if end in self.ends:
                    self.update(end)
            self._beat(now)

    def _wait(self):
        if not self._asleep:
            return BEAT
        return min(BEAT, max(0.0, self._asleep[0][0] - time.monotonic()))

    def _beat(self, now):
        if now - self._begun > self.flow.limit + 30:
            raise Asked  # whoever started this process has gone
        if now - self._beaten >= BEAT:
            self._beaten = now
            say(moved=self.moved + sum(end.moved for end in self.ends))

    def report(self, error=None):
        """The last line: how the ends ended, what they received, and what went wrong."""
        kind = {IntegrityError: "integrity", WrongEnd: "wrong end", Asked: "asked"}
        say(
            at=time.monotonic(),
            outcomes=self.outcomes,
            received=self.received + sum(end.received for end in self.ends),
            error=None if error is None else kind.get(type(error), "error"),
            message=str(error) if type(error) in kind else repr(error),
            positions=sorted(end.position() for end in self.ends),
        )


def run_server(peer, address):
    """Serve the flow's connections."""
    flow, seen, no_more = peer.flow, 0, False
    host, port = address
    listener = socket.create_server((host, port), family=family(host), backlog=4096)
    listener.setblocking(False)
    say(listening=listener.getsockname()[:2])
    peer.selector.register(sys.stdin, READ, "stdin")
    time.sleep(flow.accept_delay)
    peer.selector.register(listener, READ, "listener")

    def react(what):
        nonlocal seen, no_more
        if what == "stdin":
            if not os.read(0, 4096):
                no_more = True
                peer.selector.unregister(sys.stdin)
            return
        for _ in range(CONNECTING):
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            seen += 1
            peer.adopt(End(flow, "server", sock))

    def finished():
        ended = seen - peer.outcomes["empty"]
        # A connection may still be on its way through the proxy when its client is gone.
        return no_more and not peer.ends and (ended >= flow.connections or not due())

    def due():
        return flow.all_reach_server

    peer.run(finished, react)


def run_client(peer, address):
    """Open the flow's connections, and carry each to its end."""
    flow = peer.flow
    if os.read(0, 3) != b"go\n":
        return
    connecting, opened = set(), 0
    at_once = flow.at_once or flow.connections

    def open_more():
        nonlocal opened
        while (
            opened < flow.connections
            and len(connecting) < CONNECTING
            and len(connecting) + len(peer.ends) < at_once
        ):
            sock = socket.socket(family(address[0]))
            sock.setblocking(False)
            sock.connect_ex(tuple(address))
            connecting.add(sock)
            peer.selector.register(sock, WRITE, (sock, opened))
            opened += 1

    def react(data):
        sock, number = data
        peer.selector.unregister(sock)
        connecting.discard(sock)
        if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise WrongEnd(f"client {number}: connect: {os.strerror(error)}")
        peer.adopt(End(flow, "client", sock, number))

    def finished():
        open_more()
        return opened == flow.connections and not connecting and not peer.ends

    peer.run(finished, react)


def main():
    """Run one side, and report."""
    spec = json.loads(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    peer = Peer(Flow(**spec["flow"]), spec["role"])

    def asked(_number, _frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Asked

    signal.signal(signal.SIGTERM, asked)
    try:
        (run_server if peer.role == "server" else run_client)(peer, spec["address"])
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        peer.report()
    except Exception as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        peer.report(error)
        # Not before it is told: the reset that others see is not the first error.
        time.sleep(0.05)


if __name__ == "__main__":
    main()
