"""The library: splices between sockets of the caller, and how they come to be accelerated."""

from __future__ import annotations
