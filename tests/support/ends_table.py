"""The table of docs/ends.md: how connections end through each way, counted.

    python -m tests.support.ends_table [COUNT]        the table, as Markdown on stdout
    python -m tests.support.ends_table WAY COUNT      one column, as JSON; as root

A cell is the number of connections that ended as TCP lets them end, of COUNT; each byte is checked.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.support import ends, ends_broken, ends_killed
from tests.support.bypass import ALL_READERS
from tests.support.ends import (
    answer_and_close,
    end_and_reset,
    end_both_ways,
    send_and_reset,
    urgent_byte,
)
from tests.support.proxy import ROOT, run_sockproxy, running_proxy
from tests.support.scale import patience
from tests.support.servers import free_port, serving
from tests.support.sockets import seen_waiting

PROXIES = {"proxy": [], "--relay": ["--relay"], "--eager": ["--eager"]}
WAYS = ("plain", *PROXIES, "bypass", "HAProxy")
AT_ONCE, WAYS_AT_ONCE = 64, 3
CASES = (
    (30, ", after a conversation"),
    (0, ""),
)  # first what a bypass is for: it learns of readers
KEEPALIVE = ("option srvtcpka", "srvtcpka-cnt 3", "srvtcpka-idle 1s", "srvtcpka-intvl 1s")


def swapped(trial):
    """The same with the server in the client's part."""
    return lambda client, server, *arguments, **options: trial(
        server, client, *arguments, **options
    )


def trials():
    """What is tried -> what does it with one connection's two ends, or says what was wrong."""
    for size, named, cases in ((8, "8 B", 2), (60_000, "60 kB", 2), (5_000_000, "5 MB", 1)):
        for turns, when in CASES[-cases:]:
            for name, trial in (
                ("server answers {}, closes with the upload unread", answer_and_close),
                ("client sends {}, resets", send_and_reset),
                ("server sends {}, resets", swapped(send_and_reset)),
            ):
                yield name.format(named) + when, trial, {"size": size, "turns": turns}
    yield "both end with FIN", end_both_ways, {"size": 10_000}
    for turns, when in CASES:
        yield f"client ends with FIN, then resets{when}", end_and_reset, {
            "size": 8, "turns": turns,
        }  # fmt: skip
    for turns, when in CASES:
        yield f"urgent byte, 300 kB each side of it{when}", urgent_byte, {
            "before": 300_000, "after": 300_000, "turns": turns,
        }  # fmt: skip
        yield f"urgent byte, SO_OOBINLINE{when}", urgent_byte, {"inline": True, "turns": turns}


@contextlib.contextmanager
def way_to(way, upstream, exit_code=0):
    """(address to connect to, the proxy's process or None)."""
    if way in PROXIES:
        options = [*PROXIES[way], "--keepalive", 1]
        with running_proxy(upstream, *options, exit_code=exit_code) as proxy:
            if way != "--relay" and "for now" in proxy.stderr():
                proxy.says("accelerated from now on")
            yield proxy.address, proxy.process
        if exit_code:  # what the dead left, the next of its name clears away
            with running_proxy(upstream, *options, "--name", proxy.name):
                pass
    elif way == "HAProxy":
        with haproxy(upstream) as (address, process):
            yield address, process
    else:
        yield upstream, None


@contextlib.contextmanager
def haproxy(upstream):
    """HAProxy in TCP mode: its address, and its process."""
    port = free_port()
    lines = ["global", "maxconn 4096", "defaults", "mode tcp", "timeout connect 10s"]
    # It would connect again where a server resets at once, and the ends would be another pair's.
    lines += ["timeout client 60s", "timeout server 60s", "retries 0", *KEEPALIVE]
    lines += ["listen all", f"bind 127.0.0.1:{port}", f"server s 127.0.0.1:{upstream[1]}"]
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write("\n".join(lines) + "\n")
        config.flush()
        with serving(port, "haproxy", "-db", "-f", config.name) as process:
            yield ("127.0.0.1", port), process


class Connections:
    """Connections through a way, each with both its ends."""

    def __init__(self, address, listener):
        self.address, self.listener = address, listener

    def make(self):
        """A client's and the server's socket."""
        client = socket.create_connection(self.address, timeout=patience(20))
        server, _ = self.listener.accept()
        for sock in (client, server):
            sock.settimeout(patience(ends.STALL))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            seen_waiting(sock)
        return client, server


def column(way, count):
    """Row -> (right, tried, why the first that was not right was not), for one way."""
    cells = {}
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.settimeout(patience(20))
        upstream = listener.getsockname()
        with way_to(way, upstream) as (address, _process):
            connections = Connections(address, listener)
            for name, trial, options in trials():
                with service(way, connections) as own:
                    cells[name] = count_right(own, trial, options, count)
            for name, trial in ends_broken.trials(way):
                cells[name] = trial(connections, count)
        if way not in ("plain", "bypass"):
            with way_to(way, upstream, -signal.SIGKILL) as (address, process):
                cells["proxy killed (-9) in mid-stream"] = ends_killed.trial(
                    Connections(address, listener), process, count
                )
    return cells


@contextlib.contextmanager
def service(way, connections):
    """Those of one row. A bypass leaves a service to TCP whose connections gain nothing, so each
    row has one of its own; a proxy has one upstream."""
    if way not in ("plain", "bypass"):
        yield connections
        return
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.settimeout(patience(20))
        yield Connections(listener.getsockname(), listener)


def count_right(connections, trial, options, count):
    """Many at a time, for those of a way that stalls wait."""

    def attempt(_number):
        with making:  # so that the ends are those of one connection
            client, server = connections.make()
        with client, server:
            try:
                trial(client, server, **options)
            except (AssertionError, OSError) as error:
                return str(error).splitlines()[0]
        return ""

    making = threading.Lock()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        errors = [error for error in pool.map(attempt, range(count)) if error]
    return count - len(errors), count, errors[0] if errors else ""


def measured(way, count):
    """A column by a process of its own, in a network namespace of its own."""
    argv = [sys.executable, "-m", "tests.support.ends_table", way, str(count)]
    if way == "bypass":
        run = [sys.executable, "-m", "sockproxy", "run", f"ends-{count}", *ALL_READERS, "--"]
        argv = [*run, *argv]
    inside = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *argv]
    done = subprocess.run(inside, capture_output=True, text=True, cwd=ROOT)
    print(done.stderr, file=sys.stderr)
    assert done.returncode == 0, f"{way}: {done.stderr}"
    cells = json.loads(done.stdout)
    if way == "bypass":  # run tells what was; without a bypass it would be plain TCP again
        told = re.search(r"\d+ connections paired; past TCP ([1-9]\d*) messages.*", done.stderr)
        assert told, done.stderr
        cells["of the bypass"] = (None, 0, told[0])
    return cells


def table(count):
    """The whole table, as Markdown."""
    run_sockproxy("doctor", timeout=300)  # before the machine is busy
    with ThreadPoolExecutor(WAYS_AT_ONCE) as pool:
        found = pool.map(lambda way: measured(way, count), WAYS)
        columns = dict(zip(WAYS, found, strict=True))
    bypassed = columns["bypass"].pop("of the bypass")[2]
    rows = list(dict.fromkeys(row for way in WAYS for row in columns[way]))
    lines = [f"| | {' | '.join(WAYS)} |", "|---|" + "---|" * len(WAYS)]
    notes = []
    for row in rows:
        cells = []
        for way in WAYS:
            right, tried, why = columns[way].get(row, (None, 0, ""))
            cells.append("-" if right is None else f"{right}" if right == tried else f"**{right}**")
            if why:
                notes.append(f"- {row}; {way}: {tried - right} of {tried}, the first: {why}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    head = (
        f"Linux {platform.release().split('-')[0]}, {count} connections a cell. bypass: {bypassed}."
    )
    return "\n".join([head, "", *lines, "", *notes])


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        ends.STALL = 4.0  # there are many, and some ways stall each time
        print(json.dumps(column(sys.argv[1], int(sys.argv[2]))))
    else:
        print(table(int(sys.argv[1]) if sys.argv[1:] else 500))
