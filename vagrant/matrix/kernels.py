"""The table of kernels, vagrant/kernels.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from vagrant.matrix.errors import MatrixError

__all__ = ["CHECKOUT", "RESULTS", "TABLE", "Kernel", "chosen", "read_table"]

CHECKOUT = Path(__file__).resolve().parents[2]
TABLE = CHECKOUT / "vagrant" / "kernels.toml"
RESULTS = CHECKOUT / "vagrant" / "results"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One row; kernels.toml tells what the fields mean."""

    name: str
    suite: str
    security: str
    box: str
    memory: int
    cpus: int
    minutes: float
    ci: bool
    scale: float
    patience: float
    sample: int
    refuses: str

    @property
    def is_host(self) -> bool:
        """Whether it is the kernel that this machine runs, so that nothing is booted."""
        return not self.suite


def read_table(path: Path = TABLE) -> list[Kernel]:
    """All kernels, in the table's order. Raises MatrixError where a row is not as it should be."""
    try:
        data = tomllib.loads(path.read_text())
        rows = [data.get("defaults", {}) | row for row in data["kernel"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise MatrixError(f"{path}: {error!r}") from None
    known = {field.name for field in fields(Kernel)}
    for number, row in enumerate(rows, 1):
        if wrong := known ^ row.keys():
            raise MatrixError(f"{path}: kernel {number} lacks, or nobody knows: {sorted(wrong)}")
    kernels = [Kernel(**row) for row in rows]
    if len({kernel.name for kernel in kernels}) < len(kernels):
        raise MatrixError(f"{path}: a name is given twice")
    return kernels


def chosen(kernels: Sequence[Kernel], names: Sequence[str], ci: bool = False) -> list[Kernel]:
    """Those with the `names`; without names those that CI runs, or all. Raises MatrixError."""
    if unknown := set(names) - {kernel.name for kernel in kernels}:
        there = ", ".join(kernel.name for kernel in kernels)
        raise MatrixError(f"no kernel {', '.join(sorted(unknown))}", f"there are {there}")
    if names:
        return [kernel for kernel in kernels if kernel.name in names]
    return [kernel for kernel in kernels if kernel.ci or not ci]
