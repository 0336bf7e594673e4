"""``libbpf.so.1``, loaded once, and how its failures become errors."""

from __future__ import annotations

import errno
from functools import cache
from typing import Any

from sockproxy import native
from sockproxy.bpf import _binding
from sockproxy.bpf.rights import missing_capabilities
from sockproxy.errors import KernelError, PermissionDenied, SockproxyError, Unsupported

__all__ = ["SONAME", "check", "failure", "ffi", "for_native", "load_library", "version"]

ffi: Any = _binding.ffi
"""cffi's view of libbpf's types and of bpf/abi/; its structures are known at run time."""

SONAME = "libbpf.so.1"

_NO_PERMISSION = (errno.EPERM, errno.EACCES)
_HARDENED = "root has all rights here: lockdown, a security module or a seccomp filter refuses it"
_NOT_THERE = (errno.ENOSYS, errno.EOPNOTSUPP, 524)  # 524: the kernel's own ENOTSUPP
_LACKING = "docs/kernels.md names kernels that take it"


@cache
def load_library() -> Any:
    """The library itself.

    Raises Unsupported when the machine has none.
    """
    try:
        lib: Any = ffi.dlopen(SONAME)
    except OSError as error:
        raise Unsupported(
            f"load {SONAME} ({error})",
            hint="install libbpf 1.0 or later (Debian: apt install libbpf1)",
        ) from None
    # libbpf prints its troubles to stderr; ours are told in errors, with the log.
    lib.libbpf_set_print(ffi.NULL)
    return lib


def version() -> str:
    """libbpf's own version, such as ``v1.1``."""
    return str(ffi.string(load_library().libbpf_version_string()).decode())


def failure(doing: str, number: int, log: str | None = None) -> SockproxyError:
    """The error for `doing`, which ended with the positive errno `number`.

    EPERM is for want of a capability, or else the kernel's own refusal: of a program of this kind
    (lockdown, an LSM, seccomp), or of this program, where the verifier has left a log.
    """
    if number in _NO_PERMISSION and not log:
        if missing := missing_capabilities():
            lack = f"missing: {', '.join(missing)}; run as root"
            return PermissionDenied(doing, errno=number, hint=lack)
        return Unsupported(doing, errno=number, hint=_HARDENED)
    if number in _NOT_THERE:
        return Unsupported(doing, errno=number, hint=_LACKING)
    return KernelError(doing, errno=number, hint=_LACKING if log else None, log=log)


def check(result: int, doing: str) -> int:
    """`result` of a libbpf 1.x call: not negative, or minus an errno.

    Raises the error that fits the errno.
    """
    if result < 0:
        raise failure(doing, -result)
    return result


def for_native(place: Any) -> Any:
    """A pointer of this package's cffi, as the native library's has it."""
    return native.ffi.cast("void *", int(ffi.cast("uintptr_t", place)))
