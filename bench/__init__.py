"""Measurements: scripted runs against other proxies, and what they recorded."""

from __future__ import annotations
