"""Every module here is a probe, and has it as PROBE: to add one, add a file.

Its docstring is what `doctor --explain` shows.
"""

from __future__ import annotations

import importlib
import pkgutil

from sockproxy.controller.doctor.probe import Probe

__all__ = ["PROBES"]


def _probe(name: str) -> Probe:
    found = importlib.import_module(f"{__name__}.{name}").PROBE
    assert isinstance(found, Probe)
    return found


PROBES = tuple(
    sorted(
        (_probe(each.name) for each in pkgutil.iter_modules(__path__)),
        key=lambda probe: (probe.kind, probe.name),
    )
)
"""In the order of their turns."""
