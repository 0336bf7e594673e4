"""The kernel matrix: see README.md beside this file."""

from __future__ import annotations
