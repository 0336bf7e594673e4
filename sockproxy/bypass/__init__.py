"""Bypasses of a cgroup: attach and detach, what is left alone, and what they tell of themselves."""

from __future__ import annotations
