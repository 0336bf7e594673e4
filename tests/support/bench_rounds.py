"""Results of systems whose figures in each round are made up, so that two can be compared."""

from __future__ import annotations

import math
import random
from dataclasses import asdict

from sockproxy.bench.result.document import KIND, SCHEMA
from sockproxy.bench.result.metrics import METRICS

SYSTEMS = ("plain", "bypass", "relay", "splice")


def make(seed, rounds=10, cases=2, sigma=0.01, speed=1.0, factors=None, day=0.0, systems=SYSTEMS):
    """A document. factors: by system, how much faster it is. day: each cell's own deviation."""
    draw = random.Random(seed)
    names = [f"pingpong-rr-{64 << number}b-1-loopback-together" for number in range(cases)]
    samples = []
    for name in names:
        own = {key: math.exp(draw.gauss(0, day)) for key in systems}
        for number in range(1, rounds + 1):
            drift = speed * math.exp(draw.gauss(0, 0.05))
            for key in draw.sample(systems, len(systems)):
                rate = 1e5 * drift * own[key] * (factors or {}).get(key, 1)
                rate *= math.exp(draw.gauss(0, sigma))
                values = {
                    "per_s": rate,
                    "p99_us": 2e7 / rate * draw.uniform(0.9, 1.1),
                    "cpu_us_per_transaction": 1e6 / rate * math.exp(draw.gauss(0, sigma)),
                }
                samples.append(
                    {"case": name, "system": key, "round": number, "values": values,
                     "seconds": 1.0, "cpu": {"foreign": 0.0}}
                )  # fmt: skip
    return {
        "schema": SCHEMA, "kind": KIND,
        "scenario": {"name": "quick", "rounds": rounds, "seconds": 1, "confidence": 0.95,
                     "against": ["plain", "relay"]},
        "machine": {"kernel": "6.1", "cpu": "some", "cpus": 2},
        "systems": [{"key": key} for key in systems],
        "cases": [{"key": name, "headline": "per_s", "systems": list(systems),
                   "placement": "together"} for name in names],
        "metrics": {key: asdict(METRICS[key])
                    for key in ("per_s", "p99_us", "cpu_us_per_transaction")},
        "samples": samples, "failures": [], "skipped": [], "warnings": [], "summary": [],
    }  # fmt: skip
