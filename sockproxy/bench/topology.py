"""Network namespaces of client and server, and the REDIRECT that puts proxies in between.

    loopback   client and server in one namespace
    veth       client 192.0.2.1 ---veth--- 192.0.2.2 server
    sidecars   the same, with a proxy on both sides

A client always connects to the server's own address: `nat OUTPUT` sends it to the proxy
beside it, unless the proxy itself sends; `nat PREROUTING` sends what arrives at the server
to the proxy beside that.

The namespaces have no name: they end with the last process and descriptor inside, so that
nothing is left even when this process is killed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute

from sockproxy.bench.interrupt import Undo
from sockproxy.bench.workplace import find_program
from sockproxy.errors import SockproxyError
from sockproxy.net.namespace import Namespace

__all__ = ["LOOPBACK", "PROXY_GROUP", "SERVER", "Hop", "Host", "Topology"]

LOOPBACK, CLIENT, SERVER = "127.0.0.1", "192.0.2.1", "192.0.2.2"
PROXY_GROUP = 64321  # the group id that proxies run under: what it sends is not redirected

NFT_TIME = 10.0  # seconds
CONTROL = "ipv4/tcp_congestion_control"
SYSCTLS = {
    # Thousands of short connections between two addresses: ports and conntrack entries
    # must not have to wait for a minute in TIME_WAIT.
    "ipv4/tcp_tw_reuse": "1",
    "netfilter/nf_conntrack_tcp_timeout_time_wait": "1",
}
RECORDED = (CONTROL, *SYSCTLS, "ipv4/tcp_rmem", "ipv4/tcp_wmem")

_SYSCTL = Path("/proc/sys/net")


class Host(Namespace):
    """A network namespace that stands for a host."""

    def configure(self, name: str, address: str, prefix: int) -> None:
        """Set the interface up, with an IPv4 address."""
        with self.entered(), IPRoute() as routes:
            (index,) = routes.link_lookup(ifname=name)
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


@dataclass(frozen=True, slots=True)
class Hop:
    """A proxy to which connections to the server's port are redirected.

    port: where it listens. inbound: whether it stands beside the server, not beside the client.
    """

    port: int
    inbound: bool = False


class Topology:
    """Where client and server are, and how a proxy comes in between.

    client, server: namespaces; the same one for "loopback". control: the congestion control of
    both. address: the server's.
    """

    def __init__(self, kind: str, control: str) -> None:
        self.sidecars = kind == "sidecars"
        with Undo() as undo:
            self.client = Host()
            undo.callback(self.client.close)
            if kind == "loopback":
                self.server, self.address = self.client, LOOPBACK
                # With nothing but 127.0.0.1, getaddrinfo(AI_ADDRCONFIG) finds no IPv4 at all.
                self.client.configure("lo", CLIENT, 32)
            else:
                self.server, self.address = Host(), SERVER
                undo.callback(self.server.close)
                self._join()
            self.redirect(0, [])  # first: it loads conntrack, which SYSCTLS has parameters of
            for end in (self.client, self.server):
                end.set({CONTROL: control, **SYSCTLS})
            self._undo = undo.pop_all()

    def _join(self) -> None:
        with self.client.entered(), IPRoute() as routes:
            peer = {"ifname": "eth0", "net_ns_fd": self.server.fd}
            routes.link("add", ifname="eth0", kind="veth", peer=peer)
        self.client.configure("eth0", CLIENT, 30)
        self.server.configure("eth0", SERVER, 30)

    def redirect(self, port: int, hops: Sequence[Hop]) -> None:
        """Send connections to `port` of the server through these proxies, one on each side.

        Without proxies the rules go and the nft tables stay, so that plain TCP passes conntrack
        as well. Raises SockproxyError when nft refuses.
        """
        for namespace, chain, inbound in self._sides():
            rules = [
                f"tcp dport {port} counter redirect to :{hop.port}"
                for hop in hops
                if hop.inbound == inbound
            ]
            body = "\n".join([f"meta skgid {PROXY_GROUP} return"] * (not inbound) + rules)
            script = (
                f"add table ip bench_{chain}\ndelete table ip bench_{chain}\n"
                f"table ip bench_{chain} {{ chain {chain} {{\n"
                f"type nat hook {chain} priority -100;\n{body}\n}}\n}}\n"
            )
            _nft(namespace, "-f", "-", script=script)

    def redirected(self) -> list[int]:
        """How many connections each rule has redirected since redirect() set it."""
        counts = []
        for namespace, chain, _ in self._sides():
            listed = json.loads(_nft(namespace, "-j", "list", "table", "ip", f"bench_{chain}"))
            for entry in listed["nftables"]:
                for part in entry.get("rule", {}).get("expr", []):
                    if "counter" in part:
                        counts.append(part["counter"]["packets"])
        return counts

    def _sides(self) -> list[tuple[Host, str, bool]]:
        """For each side its namespace, its chain, and whether it is the server's."""
        sides = [(self.client, "output", False)]
        if self.server is not self.client:
            sides.append((self.server, "prerouting", True))
        return sides

    def sysctls(self) -> dict[str, str]:
        """The parameters that bear on the figures, as they are in the client's namespace."""
        return self.client.sysctls(RECORDED)

    def close(self) -> None:
        """Close the namespaces, which end with the last process inside."""
        self._undo.close()


def _nft(namespace: Namespace, *arguments: str, script: str = "") -> str:
    with namespace.entered():
        try:
            done = subprocess.run(
                [find_program("nft") or "nft", *arguments],
                input=script,
                capture_output=True,
                text=True,
                timeout=NFT_TIME,
            )
        except subprocess.TimeoutExpired:
            raise SockproxyError(f"nft: no end after {NFT_TIME:g} s") from None
    if done.returncode != 0:
        raise SockproxyError(
            f"set the redirection with nft: {' '.join(done.stderr.split())}",
            hint="the kernel needs nf_tables with NAT and redirect",
        )
    return done.stdout
