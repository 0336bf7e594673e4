"""What `sockproxy metrics` shows of answers that a test makes up."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from sockproxy.metrics import collector

__all__ = ["scrape"]


def scrape(monkeypatch, answers, seen=()):
    """The text, where proxies give these answers, by their names, and `seen` are the bypasses."""
    monkeypatch.setattr(collector, "running", lambda: list(answers))
    monkeypatch.setattr(collector, "ask_all", lambda names, question: answers)
    monkeypatch.setattr(collector.sight, "names", lambda: list(seen))
    monkeypatch.setattr(collector, "bypass_status", lambda name: seen[name])
    registry = CollectorRegistry()
    registry.register(collector.HostCollector())
    return generate_latest(registry).decode()
