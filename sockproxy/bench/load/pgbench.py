"""pgbench against a PostgreSQL cluster that lives as long as the case."""

from __future__ import annotations

import pwd
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from sockproxy.bench.load.base import Host, Load, Outcome, Target, Test, Tool, no_figures
from sockproxy.bench.workplace import find_program
from sockproxy.errors import SockproxyError

__all__ = ["Pgbench"]

USER = "postgres"  # as root it will not run
OPTIONS = ("fsync=off", "logging_collector=off", "max_connections=1100", "autovacuum=off")
RATE = re.compile(r"tps = ([\d.]+) \(without initial connection time\)")
LATENCY = re.compile(r"latency average = ([\d.]+) ms")
DONE = re.compile(r"number of transactions actually processed: (\d+)")
FAILED = re.compile(r"number of failed transactions: (\d+)")


class Pgbench(Tool):
    name = "pgbench"
    title = "pgbench"
    programs = ("pgbench", "initdb", "postgres", "setpriv")
    install = "apt-get install postgresql postgresql-contrib"
    versions: Mapping[str, Sequence[str]] = {
        "pgbench": ("pgbench", "--version"),
        "postgres": ("postgres", "--version"),
    }
    # The size is that of an answer, roughly; it cannot be chosen.
    tests: Mapping[str, Test] = {
        "select": Test(100, "per_s", sized=False),
        "tpcb": Test(100, "per_s", sized=False),
    }
    port = 5432
    unix = True

    def unix_path(self, host: Host) -> Path:
        return host.folder  # pgbench wants the folder

    def serve(self, load: Load, host: Host) -> None:
        shutil.chown(host.folder, USER, pwd.getpwnam(USER).pw_gid)
        as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
        data = str(host.folder / "data")
        initdb = find_program("initdb") or "initdb"
        host.run([*as_user, initdb, "-D", data, "-A", "trust", "-U", "bench", "--no-sync"])
        argv = [*as_user[:-1], "--pdeathsig", "INT", "--", find_program("postgres") or "postgres"]
        argv += ["-D", data, "-p", str(self.port), "-k", str(host.folder)]
        argv += [word for option in OPTIONS for word in ("-c", option)]
        # SIGINT is its fast shutdown; SIGTERM waits for clients.
        host.start(
            [*argv, "-c", f"listen_addresses={host.address}"],
            ports=[self.port],
            ready=lambda: _answers(host, host.folder),
            end_signal=signal.SIGINT,
        )
        host.run(["pgbench", "-i", "-q", "-s", "1", *_where(str(host.folder))])

    def command(self, load: Load, target: Target, amount: int) -> list[str]:
        select = ["-S", "-M", "prepared"] if load.test == "select" else []
        return [
            *("pgbench", "-n", "-c", str(load.connections), "-T", str(amount), *select),
            *_where(str(target.path or target.address)),
        ]

    def read(self, load: Load, output: str, amount: int) -> Outcome:
        rate, mean, done = (each.search(output) for each in (RATE, LATENCY, DONE))
        if rate is None or mean is None or done is None:
            raise no_figures("pgbench", output)
        failed = FAILED.search(output)
        if failed is not None and int(failed[1]):
            raise SockproxyError(f"pgbench: {failed[0]}")
        values = {"per_s": float(rate[1]), "mean_us": float(mean[1]) * 1e3}
        checks = ("no transaction failed",)
        return Outcome(values, 0, int(done[1]), checks, raw=output)


def _where(host: str) -> list[str]:
    return ["-h", host, "-p", str(Pgbench.port), "-U", "bench", "postgres"]


def _answers(host: Host, folder: Path) -> bool:
    try:
        host.run(["pg_isready", "-q", "-h", str(folder), "-p", str(Pgbench.port)])
    except SockproxyError:
        return False
    return True
