"""Detach and attach again while real programs talk: none of them notices, and no byte is lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest

from tests.support.bypass import ALL_READERS, NAME, sockproxy, status
from tests.support.needs import find_program
from tests.support.proxy import ROOT, run_sockproxy
from tests.support.servers import (
    assert_all_arrived,
    iperf3_server,
    pgbench_sums,
    redis,
    run,
)

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(120)]


def come_and_go(group, *programs, rounds=4):
    """Attach and detach while these programs run, each of which must end well; their stdout.

    They start under a bypass: what was connected before is never seen by it.
    """
    sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": ROOT}
    argvs = [[find_program(str(argv[0])), *map(str, argv[1:])] for argv in programs]
    processes = [subprocess.Popen(argv, **options) for argv in argvs]
    try:
        gained = 0
        for _ in range(rounds):
            time.sleep(0.4)
            gained += status()["bypassed_messages"]
            assert "detached" in sockproxy("detach", NAME)
            sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS)
        sockproxy("detach", NAME)
        outs = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        run_sockproxy("detach", NAME)  # if something failed above
    for process, out in zip(processes, outs, strict=True):
        assert process.returncode == 0, out
    return gained, outs


@pytest.mark.tools("initdb", "postgres", "pgbench", "psql", "openssl")
def test_detach_in_the_middle_of_pgbench(group, cluster):
    with cluster.running() as where:
        run("pgbench", "-i", "-q", "-s", "2", *where)
        bench = ["pgbench", "-n", "-c", "2", "-T", "5"]
        gained, outs = come_and_go(group, [*bench, *where], [*bench, "-C", *where])
        assert all("number of failed transactions: 0 " in out for out in outs), outs
        done = [int(re.search(r"actually processed: (\d+)", out)[1]) for out in outs]
        assert pgbench_sums(where) == sum(done)
        assert gained > 0


@pytest.mark.tools("iperf3")
def test_detach_in_the_middle_of_iperf3(group):
    with iperf3_server() as port, iperf3_server() as other:
        test = ["iperf3", "-c", "127.0.0.1", "-t", "4", "-J", "--bidir"]
        _, outs = come_and_go(group, [*test, "-p", port], [*test, "-p", other, "-l", "200"])
        for out in outs:
            assert_all_arrived(json.loads(out))


@pytest.mark.tools("redis-server")
def test_detach_in_the_middle_of_conversations(group):
    """Whose every byte is verified."""
    client = [sys.executable, "-m", "tests.support.servers_clients", "redis"]
    with redis() as port:
        programs = [[*client, port, seed, 4] for seed in range(3)]
        gained, _ = come_and_go(group, *programs)
        assert gained > 0
