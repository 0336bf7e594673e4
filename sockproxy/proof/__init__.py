"""What is proved of this kernel, kept for the boot, and how to have it proved."""

from __future__ import annotations
