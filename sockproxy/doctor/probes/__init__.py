"""Every module here is a probe, and has it as PROBE, or some of a kind, as PROBES: to add one, add
a file.

Its docstring is what `doctor --explain` shows.
"""

from __future__ import annotations

import importlib
import pkgutil

from sockproxy.doctor.probe import Probe

__all__ = ["PROBES"]


def _of(name: str) -> tuple[Probe, ...]:
    module = importlib.import_module(f"{__name__}.{name}")
    found: tuple[Probe, ...] = getattr(module, "PROBES", ()) or (module.PROBE,)
    return found


PROBES = tuple(
    sorted(
        (probe for each in pkgutil.iter_modules(__path__) for probe in _of(each.name)),
        key=lambda probe: (probe.kind, probe.name),
    )
)
"""In the order of their turns."""
