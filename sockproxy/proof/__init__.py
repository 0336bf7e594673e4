"""What is proved of this kernel, kept until the next boot, and how to have it proved.

prover: the package whose `python -m PROVER` examines a kernel: see protocol.py. A higher layer
names it, as nothing here may know what is above it; sockproxy/__init__.py does. Its sources are
part of what a kept proof holds for. "" where there is none: then nothing can be found out.
"""

from __future__ import annotations

prover = ""
