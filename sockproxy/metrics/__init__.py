"""What proxies and bypasses count, for Prometheus."""

from __future__ import annotations
