"""What commands note in the trail: what was done, by whom, and with which words."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sockproxy.audit.trail import Trail
from sockproxy.errors import SockproxyError
from sockproxy.text import shortened

__all__ = ["note"]

NOBODY = (1 << 32) - 1  # of loginuid: nobody has logged in
MOST_WORDS = 1000  # characters of a command line


def note(action: str, name: str, tell: Callable[[str], None], **more: Any) -> None:
    """Add a line: what was done with the bypass `name`. Where that fails, `tell` is told: what was
    done stays done."""
    says = {"action": action, "bypass": name, **more, **_who()}
    try:
        Trail().append(says)
    except SockproxyError as error:
        tell(f"not noted for 'sockproxy audit': {error}")


def _who() -> dict[str, Any]:
    """login: who logged in, also if sudo or su came since; None where nobody did."""
    return {
        "user": _name(os.getuid()),
        "login": _login(),
        "sudo": os.environ.get("SUDO_USER"),
        "pid": os.getpid(),
        "command": shortened(" ".join(sys.argv), MOST_WORDS),
    }


def _login() -> str | None:
    try:
        number = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        return None
    return None if number == NOBODY else _name(number)


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
