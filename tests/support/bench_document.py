"""Results of benchmarks that never ran: what each system is like is known beforehand."""

from __future__ import annotations

import random
from dataclasses import asdict

from sockproxy.bench.result.document import KIND, SCHEMA
from sockproxy.bench.result.metrics import METRICS
from sockproxy.bench.result.summary import noise, summarize

# By key: title, command line, version, what carries its bytes.
SYSTEMS = {
    "plain": ("plain TCP", None, None, {"tcp": 1.0}),
    "unix": ("AF_UNIX", None, None, {"unix": 1.0}),
    "bypass": ("sockproxy bypass", None, None, {"bypassed": 0.98, "tcp": 0.02}),
    "relay": ("sockproxy relay", ["$python", "-m", "sockproxy", "proxy", "--engine", "relay",
              "$address:$port", "$upstream_address:$upstream_port"], "sockproxy, version 0.4.0",
              {"redirected": 0.0, "pumped": 1.0}),
    "splice": ("sockproxy splice", ["$python", "-m", "sockproxy", "proxy", "$address:$port",
               "$upstream_address:$upstream_port"], "sockproxy, version 0.4.0",
               {"redirected": 0.93, "pumped": 0.07}),
    "haproxy": ("HAProxy", ["haproxy", "-db", "-f", "$config"],
                "HAProxy version 2.6.12-1+deb12u4 - https://haproxy.org/", {"proxy": 1.0}),
    "envoy": ("Envoy", ["envoy", "--concurrency", "1", "--log-level", "error", "-c", "$config"],
              "envoy  version: 1.38.0/Clean/RELEASE/BoringSSL", {"proxy": 1.0}),
}  # fmt: skip
STREAM = {"plain": 22.4, "unix": 41.0, "bypass": 38.9, "relay": 9.6, "splice": 17.2, "haproxy": 8.1}
ECHO = {"plain": 48e3, "unix": 71e3, "bypass": 69e3, "relay": 14.8e3, "splice": 29e3,
        "haproxy": 16.1e3, "envoy": 9.4e3}  # fmt: skip
CONNECT = {"plain": 14.1e3, "bypass": 12.7e3, "splice": 3.1e3, "haproxy": 3.9e3}
GET = {"plain": 81e3, "unix": 109e3, "bypass": 82e3}
"""Headline figures that systems have in the cases of document()."""


def case(key, title, figures, *, headline="per_s", **changes):
    """One case, and what its systems reach."""
    described = {
        "key": key, "title": title, "tool": "netperf", "test": "TCP_RR", "topology": "loopback",
        "placement": "together", "connections": 1, "size": 64, "headline": headline,
        "systems": list(figures), **changes,
    }  # fmt: skip
    return described, figures


CASES = (
    case("iperf3-stream", "iperf3 stream, 128 KiB; loopback, all on one CPU", STREAM,
         headline="gbit_per_s", tool="iperf3", test="stream", size=128 << 10),
    case("netperf-tcp_rr", "netperf TCP_RR, 64 B; loopback, all on one CPU", ECHO),
    case("netperf-tcp_crr", "netperf TCP_CRR, 64 B; veth between two namespaces, client and"
         " proxies on one CPU, server on another", CONNECT, test="TCP_CRR", topology="veth",
         placement="apart"),
    case("redis-get", "redis-benchmark GET, 64 B, 50 connections; loopback, not pinned", GET,
         tool="redis", test="GET", connections=50, placement="free"),
)  # fmt: skip


def document(cases=CASES, *, rounds=8, against=("plain", "relay"), noise_share=0.02, seed=7,
             systems=None, failures=(), skipped=(), warnings=(), **changes):  # fmt: skip
    """A whole document. changes: of its top level. systems: more of them, as in SYSTEMS.

    What has failed has no samples from that round on.
    """
    known = {**SYSTEMS, **(systems or {})}
    chance = random.Random(seed)
    used = dict.fromkeys(key for described, _ in cases for key in described["systems"])
    made = {
        "schema": SCHEMA, "kind": KIND, "sockproxy": "0.4.0",
        "began": "2026-03-02T09:30:00+00:00", "took": 412.7, "complete": True,
        "scenario": {"name": "quick", "title": "Does it help? Four kinds of load", "seed": 4711,
                     "rounds": rounds, "seconds": 1, "confidence": 0.95,
                     "against": list(against)},
        "machine": {"kernel": "6.18.4", "architecture": "x86_64",
                    "cpu": "AMD EPYC 9R14", "cpus": 4, "virtual": True, "governor": None,
                    "versions": {"iperf3": "iperf 3.12 (cJSON 1.7.15)",
                                 "netperf": "Netperf version 2.7.0"},
                    "sysctls": {"ipv4/tcp_congestion_control": "reno",
                                "ipv4/tcp_rmem": "4096 131072 33554432"}},
        "systems": [_system(key, known[key]) for key in used],
        "cases": [described for described, _ in cases],
        "metrics": {key: asdict(metric) for key, metric in METRICS.items()},
        "samples": [sample for described, figures in cases
                    for sample in _samples(described, figures, known, rounds, noise_share, chance)],
        "failures": list(failures), "skipped": list(skipped), "warnings": list(warnings),
        **changes,
    }  # fmt: skip
    ended = {(each["case"], each["system"]): each["round"] for each in failures}
    made["samples"] = [
        each
        for each in made["samples"]
        if each["round"] < ended.get((each["case"], each["system"]), rounds + 1)
    ]
    made["summary"] = summarize(made)
    made["warnings"] = [*made["warnings"], *noise(made)]
    return made


def empty(**changes):
    """What is left of a run that ended before its first turn."""
    return document(cases=(), complete=False, **changes)


def _system(key, known):
    title, argv, version, _ = known
    return {
        "key": key,
        "title": title,
        "about": "one worker" if argv else "no proxy",
        "argv": argv,
        "config": "listen <all>\n  mode tcp\n" if key == "haproxy" else None,
        "version": version,
        "why_not": "",
    }


def _samples(described, figures, known, rounds, noise_share, chance):
    for number in range(1, rounds + 1):
        common = chance.gauss(1, noise_share)
        for order, key in enumerate(chance.sample(list(figures), len(figures))):
            figure = figures[key] * common * chance.lognormvariate(0, noise_share)
            # Some rounds are slow, as they are on a machine that others use too.
            figure *= 0.9 if chance.random() < 0.06 else 1
            yield {
                "case": described["key"], "system": key, "round": number, "order": order,
                "argv": ["tool"], "seconds": 1.0,
                "values": _values(described["headline"], figure, chance, noise_share),
                "cpu": {"client": 0.4, "server": 0.4, "proxy": 0.1, "kernel_threads": 0.0,
                        "foreign": 0.01},
                "carried": {way: int(share * 1e9) for way, share in known[key][3].items()},
                "checks": ["as many bytes received as sent"], "raw": None,
            }  # fmt: skip


def _values(headline, figure, chance, noise_share):
    if headline == "gbit_per_s":
        return {headline: figure, "cpu_s_per_gb": 8 / figure * chance.gauss(1, noise_share)}
    mean = 1e6 / figure
    return {
        headline: figure,
        "mean_us": mean,
        "p50_us": mean * 0.95,
        "p99_us": mean * chance.gauss(2.2, 0.2),
        "cpu_us_per_transaction": mean * 0.98,
    }
