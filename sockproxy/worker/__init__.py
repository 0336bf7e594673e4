"""The life of a connection: from two descriptors to its end, on one loop. It asks nobody."""

from __future__ import annotations
