"""Addresses, rules, options of TCP sockets, listeners and network namespaces."""

from __future__ import annotations
