"""What an executable exports, by its ELF file."""

from __future__ import annotations

from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

__all__ = ["exports"]


def exports(path: Path, prefix: str) -> bool:
    """Whether a symbol of its dynamic table begins so. No for a script, or a damaged file.

    Raises OSError if it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            symbols = ELFFile(file).get_section_by_name(".dynsym")
            return isinstance(symbols, SymbolTableSection) and any(
                each.name.startswith(prefix) for each in symbols.iter_symbols()
            )
        except (ELFError, UnicodeDecodeError):
            return False
