"""The live connections of this host as a screen that is shown anew, with their rates."""

from __future__ import annotations
