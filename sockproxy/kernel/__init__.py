"""What the controller asks of the kernel, and the kernel that answers with sockmaps."""

from __future__ import annotations

from sockproxy.kernel.layout import Action, Held
from sockproxy.kernel.protocol import Inspection, SpliceKernel
from sockproxy.kernel.sockmap import SockmapKernel

__all__ = ["Action", "Held", "Inspection", "SockmapKernel", "SpliceKernel"]
