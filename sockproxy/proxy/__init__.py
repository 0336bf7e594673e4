"""The proxy: it accepts, connects, hands pairs of sockets to a worker, and answers questions."""

from __future__ import annotations
