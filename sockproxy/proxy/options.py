"""What a proxy may be asked to do, by the command line or by a file, and within which bounds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sockproxy.errors import UsageError
from sockproxy.net.address import Address
from sockproxy.net.systemd import Passed
from sockproxy.net.unix import has_file
from sockproxy.proxy.pool import ORIGINAL, Health, Pool, Upstream
from sockproxy.worker.door import MIB
from sockproxy.worker.rules import NO_RULES, Rules
from sockproxy.worker.service import Balance

__all__ = [
    "BALANCES",
    "BUDGETS",
    "LOG_FORMATS",
    "LOG_LEVELS",
    "MOST_KEEPALIVE",
    "MOST_MARK",
    "MOST_ROUTES",
    "MOST_WORKERS",
    "PROXY_VERSIONS",
    "ProxyOptions",
    "Route",
    "ServiceOptions",
    "check_original",
    "check_unix_mode",
    "clash",
    "usual_workers",
]

BUDGETS = (4096, 1 << 30)  # bytes: the least and the most
MOST_KEEPALIVE = 32767  # seconds: MAX_TCP_KEEPIDLE of the kernel
MOST_MARK = 0xFFFFFFFF
MOST_ROUTES = 10_000
MOST_WORKERS = 256  # bpf/abi/splice.h
LOG_FORMATS = ("auto", "text", "json", "journal")
"""auto: journal where stderr is the journal's, else text."""
BALANCES = {
    "round-robin": Balance.TURNS,
    "least-connections": Balance.LEAST,
    "source": Balance.SOURCE,
}
PROXY_VERSIONS = {"v1": 1, "v2": 2}
LOG_LEVELS = ("error", "warning", "info", "debug")


@dataclass(frozen=True, slots=True)
class Route:
    """Clients that ask by TLS for one of these names have these upstreams. ``*.example.org`` is
    every name below that."""

    names: tuple[str, ...]
    pool: Pool

    @property
    def upstream_names(self) -> list[str]:
        """As a user wrote them."""
        return [str(each) for each in self.pool.upstreams] or [ORIGINAL]


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What one service is to do. Times are in seconds.

    upstreams, health, slow_start: of the Pool.
    name: by which it is shown; "" where it needs none.
    connect_timeout: for each upstream that is tried.
    mark: the SO_MARK of connections to upstreams, for rules to know them by.
    keepalive: seconds of silence before a probe; None to leave the system's default.
    balance: one of BALANCES: whose turn it is.
    send_proxy: one of PROXY_VERSIONS, by which upstreams are told who the client is; 0 for none.
    routes: clients that ask for certain names have others as their upstreams.
    rules: by which it has clients, and for how long.
    unix_mode: of the files of Unix sockets that it listens at, such as "660"; "" for the umask's.
    """

    listen: tuple[Address | Passed, ...]
    upstreams: tuple[Upstream, ...]
    name: str = ""
    connect_timeout: float = 10.0
    mark: int | None = None
    nodelay: bool = True
    keepalive: int | None = None
    balance: str = "round-robin"
    send_proxy: int = 0
    health: Health | None = None
    slow_start: float = 0.0
    routes: tuple[Route, ...] = ()
    rules: Rules = NO_RULES
    unix_mode: str = ""

    @property
    def pool(self) -> Pool:
        """Where clients go."""
        return Pool(self.upstreams, self.health, self.slow_start)

    def with_pool(self, pool: Pool) -> ServiceOptions:
        """The same, for clients that go there."""
        return replace(
            self, upstreams=pool.upstreams, health=pool.health, slow_start=pool.slow_start
        )

    @property
    def routed_names(self) -> dict[str, str]:
        """The names of all routes, and to where they lead."""
        return {name: ", ".join(each.upstream_names) for each in self.routes for name in each.names}

    @property
    def is_original(self) -> bool:
        """Whether clients go to where they meant to go before a REDIRECT."""
        return not self.upstreams and not self.rules.only_routes

    @property
    def upstream_names(self) -> list[str]:
        """As a user wrote them."""
        return [str(each) for each in self.upstreams] or [ORIGINAL] * self.is_original


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """What a proxy is to do. Times are in seconds, sizes in bytes.

    services: at least one.
    force: accelerate even where doctor found that it is not exact.
    short_circuit: let conversations go past us where both far ends are enrolled in a bypass.
    workers: threads that serve clients.
    grace: how long running pairs may take to finish after the first stop().
    """

    services: tuple[ServiceOptions, ...]
    name: str
    idle_timeout: float | None = None
    max_connections: int = 4096
    budget: int = MIB
    relay: bool = False
    eager: bool = False
    parser: bool = True
    force: bool = False
    grace: float = 10.0
    short_circuit: bool = True
    workers: int = 1


def check_original(listen: Sequence[Address | Passed], upstreams: Sequence[Upstream]) -> None:
    """Raises UsageError where the original destination is asked for of what has none."""
    for each in listen:
        if not upstreams and isinstance(each, Address) and each.is_unix:
            raise UsageError(f"{ORIGINAL}: clients of {each} were never redirected")


def check_unix_mode(listen: Sequence[Address | Passed], mode: str) -> str:
    """The mode. Raises UsageError where it is for nothing."""
    if mode and not any(has_file(str(each)) for each in listen):
        raise UsageError("unix-mode is for files: listen at unix:/PATH")
    return mode


def clash(
    relay: bool, eager: bool, force: bool, verdict_only: bool, *, force_is: str = "force"
) -> tuple[str, str] | None:
    """Which of these cannot be together with the others, and why. force_is: how users write it."""
    if relay and (eager or force or verdict_only):
        return "relay", "excludes eager, force and verdict-only"
    if verdict_only and not force:
        return "verdict-only", (
            f"without {force_is} loses the promise: bytes may come twice, and nothing bounds memory"
        )
    return None


def usual_workers() -> int:
    """The ends of most connections are on this host, and take the other half of its CPUs:
    docs/decisions/0018-workers.md."""
    return min((len(os.sched_getaffinity(0)) + 1) // 2, MOST_WORKERS)
