"""Programs whose sockets a bypass leaves plain, as their reads would stall or come out of order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

from sockproxy.bpf.abi import Plain
from sockproxy.bpf.plain_programs import LONGEST_COMM, LONGEST_NAME, Program
from sockproxy.cgroup import Cgroup
from sockproxy.errors import UsageError
from sockproxy.net.listening import listeners
from sockproxy.proof.ask import known_proof, proof_of
from sockproxy.proof.mechanisms import BYPASS
from sockproxy.text import shortened

__all__ = [
    "FIONREAD",
    "FIONREAD_USERS",
    "acceptors",
    "is_fionread_wrong",
    "must_be_left_alone",
    "program_called",
    "running",
    "was_fionread_found_wrong",
]

FIONREAD = "FIONREAD"  # the name of doctor's probe
# Names of processes that are known to ask FIONREAD before they read.
FIONREAD_USERS = ("nginx", "nginx-debug", "angie", "freenginx", "openresty", "java", "dotnet")
# Names of processes that read by recv(2) and go on by splice(2), which does not see what was
# bypassed: a short answer in two parts would stall between them.
SPLICE_USERS = ("haproxy",)
MOST_SHOWN = 200  # characters of a name or a path that is none


def is_fionread_wrong(*, proved: bool = True) -> bool:
    """Whether FIONREAD is wrong for what is in a sockmap, or nobody knows.

    proved: False to trust no proof, so that it is taken to be wrong.
    """
    return not proved or not (found := proof_of(BYPASS)).on or FIONREAD in found.limits


def was_fionread_found_wrong() -> bool:
    """Whether doctor has found FIONREAD to be wrong; doctor is not run for it."""
    return (found := known_proof(BYPASS)) is not None and FIONREAD in found.limits


def must_be_left_alone(*, fionread_is_wrong: bool | None = None) -> tuple[str, ...]:
    """Names of programs that this kernel would make wait for ever if they were enrolled.

    fionread_is_wrong: None to ask for what doctor found.
    """
    if fionread_is_wrong is None:
        fionread_is_wrong = is_fionread_wrong()
    return (*(FIONREAD_USERS if fionread_is_wrong else ()), *SPLICE_USERS)


def program_called(given: str) -> Program:
    """The program of that name, or whose executable has that path. Raises UsageError."""
    if "/" not in given:
        if not 0 < len(os.fsencode(given)) <= LONGEST_NAME:
            shown = shortened(given, MOST_SHOWN)
            raise UsageError(
                f"program {shown!r}: a name has from 1 to {LONGEST_NAME} bytes",
                hint="give the path of its executable",
            )
        return Program(given, given)
    try:
        path = Path(given).resolve(strict=True)
        with path.open("rb") as file:  # a directory is refused
            is_script, inode = file.read(2) == b"#!", os.fstat(file.fileno()).st_ino
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle; a NUL
        number = error.errno if isinstance(error, OSError) else None
        hint = "give the name of a process, or the path of an executable"
        raise UsageError(
            f"program {shortened(given, MOST_SHOWN)}", errno=number, hint=hint
        ) from None
    if is_script:
        raise UsageError(
            f"program {shortened(given, MOST_SHOWN)}: it is a script, which its interpreter runs",
            hint="give the name that 'ps -o comm' shows of its process",
        )
    return Program(os.path.abspath(given), path.name, inode)


def running(program: Program) -> int:
    """How many processes run that program."""
    return sum(program in found for _, found in _processes([program]))


def acceptors(programs: Collection[Program], *cgroups: Cgroup) -> dict[tuple[int, int], Plain]:
    """What accepts connections already, at (network namespace, port), and has to stay plain.

    Plain.PROGRAM where these programs do; Plain.BLOCKS where a process of the cgroups does by a
    listener in blocking mode, which may stand for what it accepts.
    """
    inside = {pid for each in cgroups for pid in each.all_processes()}
    found = {}
    for pid, matching in _processes(programs):
        if not matching and pid not in inside:
            continue
        with contextlib.suppress(OSError):  # it has ended
            for at, is_blocking in _listening(pid):
                if matching:
                    found[at] = Plain.PROGRAM
                elif is_blocking:
                    found.setdefault(at, Plain.BLOCKS)
    return found


def _processes(programs: Collection[Program]) -> Iterator[tuple[int, set[Program]]]:
    """Each process, and which of these programs it runs."""
    for pid in psutil.pids():
        folder = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError):  # it has ended
            comm = os.fsdecode((folder / "comm").read_bytes()[:-1])
            executable, inode = "", 0
            with contextlib.suppress(OSError):  # it is of the kernel
                executable = os.readlink(folder / "exe").removesuffix(" (deleted)")
                inode = (folder / "exe").stat().st_ino
            names = {comm, os.path.basename(executable)}
            yield (
                pid,
                {
                    each
                    for each in programs
                    if (each.inode == inode and each.name == os.path.basename(executable))
                    or (not each.inode and {each.name, each.name[:LONGEST_COMM]} & names)
                },
            )


def _listening(pid: int) -> Iterator[tuple[tuple[int, int], bool]]:
    """(network namespace, port) of each listener of a process, and whether it is in blocking mode.

    psutil would look into our own namespace. Raises OSError when the process has ended.
    """
    folder = Path(f"/proc/{pid}")
    netns = (folder / "ns/net").stat().st_ino
    links: dict[str, str] = {}
    for number in os.listdir(folder / "fd"):
        with contextlib.suppress(OSError):  # it has been closed
            links[os.readlink(folder / "fd" / number)] = number
    for port, inode in listeners(pid):
        link = f"socket:[{inode}]"
        if link in links:
            yield (netns, port), _is_blocking(folder / "fdinfo" / links[link])


def _is_blocking(fdinfo: Path) -> bool:
    """Whether a listener is in blocking mode, by the fdinfo file of its descriptor.

    Where that cannot be told it is taken to be, so that the connections it accepts stay plain.
    """
    try:
        flags = fdinfo.read_text().split("flags:")[1].split()[0]
    except OSError:  # it has been closed, and another may have the same socket
        return True
    return not int(flags, 8) & os.O_NONBLOCK
