"""Two network namespaces, client and server, and the REDIRECT that makes a proxy a sidecar.

    client 192.0.2.1 ---veth--- 192.0.2.2 server
       `- nat OUTPUT: REDIRECT to the proxy under test, unless the proxy itself sends

The namespaces have no name: they end with the last process and descriptor inside, so that
nothing is left even when this process is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pyroute2 import IPRoute

from sockproxy.errors import KernelError, SockproxyError

__all__ = ["CLIENT", "IPERF_PORT", "NETPERF_PORT", "PROXY_GROUP", "SERVER", "Namespace", "Network"]

CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
IPERF_PORT = 5201
NETPERF_PORT = 12866  # of the data connection; netperf's control connection has another
PROXY_GROUP = 64321  # the group id that proxies run under: what it sends is not redirected

CLONE_NEWNET = 0x40000000
SYSCTLS = {
    # The one that every namespace may have. Nothing is lost on a veth, so that it acts as
    # cubic would; under BBR, where a machine is set to that, timers set the pace.
    "ipv4/tcp_congestion_control": "reno",
    # Thousands of short connections between two addresses: ports and conntrack entries
    # must not have to wait for a minute in TIME_WAIT.
    "ipv4/tcp_tw_reuse": "1",
    "netfilter/nf_conntrack_tcp_timeout_time_wait": "1",
}
RECORDED = (*SYSCTLS, "ipv4/tcp_rmem", "ipv4/tcp_wmem")

_SYSCTL = Path("/proc/sys/net")
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, doing: str) -> None:
    if result != 0:
        raise KernelError(doing, errno=ctypes.get_errno())


def _open_current() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """A new network namespace with its loopback up, held by a descriptor."""

    def __init__(self) -> None:
        home = _open_current()
        try:
            _check(_libc.unshare(CLONE_NEWNET), "make a network namespace")
            try:
                self.fd = _open_current()
            finally:
                _check(_libc.setns(home, CLONE_NEWNET), "return to the network namespace")
        finally:
            os.close(home)
        self.configure("lo", "127.0.0.1", 8)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put this thread, and what it starts meanwhile, into the namespace."""
        home = _open_current()
        try:
            _check(_libc.setns(self.fd, CLONE_NEWNET), "enter a network namespace")
            try:
                yield
            finally:
                _check(_libc.setns(home, CLONE_NEWNET), "return to the network namespace")
        finally:
            os.close(home)

    def configure(self, name: str, address: str, prefix: int) -> None:
        """Set the interface up, with an IPv4 address."""
        with self.entered(), IPRoute() as routes:
            (index,) = routes.link_lookup(ifname=name)
            if name != "lo":
                routes.addr("add", index=index, address=address, prefixlen=prefix)
            routes.link("set", index=index, state="up")

    def set(self, sysctls: Mapping[str, str]) -> None:
        """Set parameters below net/; those that this kernel does not have are left out."""
        with self.entered():
            for path, value in ((_SYSCTL / name, value) for name, value in sysctls.items()):
                if path.exists():
                    path.write_text(value)

    def sysctls(self, names: Iterable[str]) -> dict[str, str]:
        """The values of parameters below net/, of those that this kernel has."""
        with self.entered():
            found = {name: _SYSCTL / name for name in names}
            return {
                name: " ".join(path.read_text().split())
                for name, path in found.items()
                if path.exists()
            }

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self.fd)


class Network:
    """The client's and the server's namespace, joined by a veth pair."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as undo:
            self.client = Namespace()
            undo.callback(self.client.close)
            self.server = Namespace()
            undo.callback(self.server.close)
            with self.client.entered(), IPRoute() as routes:
                peer = {"ifname": "eth0", "net_ns_fd": self.server.fd}
                routes.link("add", ifname="eth0", kind="veth", peer=peer)
            self.client.configure("eth0", CLIENT, 30)
            self.server.configure("eth0", SERVER, 30)
            self.redirect({})
            for end in (self.client, self.server):
                end.set(SYSCTLS)
            self._undo = undo.pop_all()

    def redirect(self, ports: Mapping[int, int]) -> None:
        """Send what the client sends to these ports of the server to ports of its own host.

        The table stays for an empty mapping, so that plain TCP also passes conntrack.
        """
        rules = [f"tcp dport {port} counter redirect to :{to}" for port, to in ports.items()]
        body = "\n".join([f"meta skgid {PROXY_GROUP} return", *rules])
        script = (
            "add table ip demo\ndelete table ip demo\n"
            "table ip demo { chain output {\n"
            f"type nat hook output priority -100;\n{body}\n}}\n}}\n"
        )
        self._nft("-f", "-", script=script)

    def sysctls(self) -> dict[str, str]:
        """The parameters that bear on the figures, as they are in the client's namespace."""
        return self.client.sysctls(RECORDED)

    def redirected(self) -> int:
        """Connections redirected since the rules were set."""
        listed = json.loads(self._nft("-j", "list", "table", "ip", "demo"))["nftables"]
        expressions = [part for entry in listed for part in entry.get("rule", {}).get("expr", [])]
        return sum(part["counter"]["packets"] for part in expressions if "counter" in part)

    def _nft(self, *arguments: str, script: str = "") -> str:
        with self.client.entered():
            done = subprocess.run(["nft", *arguments], input=script, capture_output=True, text=True)
        if done.returncode != 0:
            raise SockproxyError(
                f"set the redirection with nft: {' '.join(done.stderr.split())}",
                hint="the kernel needs nf_tables with NAT and redirect",
            )
        return done.stdout

    def close(self) -> None:
        """Let go of both namespaces."""
        self._undo.close()
