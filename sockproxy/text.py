"""Text that others have written, made fit to be shown on a terminal."""

from __future__ import annotations

__all__ = ["clean", "shortened"]


def clean(text: str) -> str:
    """`text` on one line, in which each control character, and each byte that is no UTF-8, is
    written as \\x1b or \\u202e: a terminal obeys nothing of it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # how Python keeps a byte that is no UTF-8
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def shortened(text: str, most: int) -> str:
    """The beginning of `text` where it has more than `most` characters."""
    return text if len(text) <= most else f"{text[:most]}..."
