"""The compiled BPF objects that travel in the package."""

from __future__ import annotations

from importlib.resources import files

from sockproxy.errors import Unsupported

__all__ = ["read_object"]


def read_object(name: str) -> bytes:
    """The compiled BPF object in the file `name`, such as "bypass.bpf.o".

    Raises Unsupported when the package was built without it.
    """
    try:
        return files("sockproxy").joinpath("_bpf", name).read_bytes()
    except FileNotFoundError:
        raise Unsupported(
            f"find {name} in the installed package",
            hint="the package was built without its BPF objects; build it with clang",
        ) from None
