"""Addresses, and what Linux's TCP sockets tell and take by options."""

from __future__ import annotations
