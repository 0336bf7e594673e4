"""Cases of socket calls, and how each is run: in a process of its own, with a time limit.

A case is a function of two connected sockets, (client, server), both blocking, that returns
what the calls answered. It registers itself with @case, and tests/root/bypass/test_same_calls.py
runs it on a pair of plain TCP and on one that is bypassed.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import pickle
import select
import signal
import socket
import struct
import termios
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.scale import patience

LIMIT = patience(10.0)  # seconds that one case may take
SOON = patience(0.05)  # by then what was sent on this host has arrived
SIOCATMARK = 0x8905
SIOCOUTQ = termios.TIOCOUTQ
SAME = object()

libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Case:
    """One case, and what is known of it."""

    run: Callable
    name: str
    differs: str = ""  # why the two answers are not the same; then they are:
    plain: object = SAME
    bypass: object = SAME
    repaired: bool = False  # some kernels answer as TCP does
    state: str = "bypassing"  # what the bypassed pair is before the case
    taints: bool = False  # the bypass remembers of this program what it did
    prepare: Callable | None = None  # called with the client, before it connects
    meet: Callable | None = None  # called with both ends instead of converse()


CASES: list[Case] = []


def case(run=None, **known):
    """Register a case; `known` are fields of Case."""
    if run is None:
        return lambda run: case(run, **known)
    CASES.append(Case(run, run.__name__, **known))
    return run


# -- running -----------------------------------------------------------------------------


class Stalled(AssertionError):
    """A case did not end in time."""


def run_apart(run, pair, limit=LIMIT):
    """What `run` answers in a process of its own, which alone has the two sockets."""
    inbox, outbox = os.pipe()
    ready, go = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(inbox)
        os.close(go)
        _answer(run, pair, ready, outbox)
    for fd in (outbox, ready):
        os.close(fd)
    for sock in pair:
        sock.close()
    os.write(go, b"!")
    os.close(go)
    try:
        return _read_answer(inbox, limit, run.__name__)
    finally:
        os.close(inbox)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _answer(run, pair, ready, outbox):
    """The rest of that process's life."""
    try:
        os.setpgid(0, 0)
        os.read(ready, 1)
        for sock in pair:
            sock.settimeout(None)
        told = (True, run(*pair))
    except BaseException:
        told = (False, traceback.format_exc())
    try:
        with os.fdopen(outbox, "wb") as out:
            pickle.dump(told, out)
    finally:
        os._exit(0)


def _read_answer(inbox, limit, name):
    deadline = time.monotonic() + limit
    data = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([inbox], [], [], left)[0]:
            raise Stalled(f"{name} did not end within {limit} s")
        part = os.read(inbox, 1 << 20)
        if not part:
            break
        data += part
    done, answer = pickle.loads(data)
    assert done, answer
    return answer


# -- what cases are written with -----------------------------------------------------------


def tried(call, *arguments):
    """What the call answers, or the name of its error."""
    try:
        return call(*arguments)
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode[error.errno]


def wait_readable(sock, seconds=5.0):
    """Wait until poll says so, and a moment more, in which all that was sent arrives."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    assert poller.poll(patience(seconds) * 1000), "not readable"
    time.sleep(SOON)


def polled(sock, wait=0.0):
    """All that poll(2) has to say of it."""
    poller = select.poll()
    poller.register(sock, select.POLLIN | select.POLLOUT | select.POLLPRI | select.POLLRDHUP)
    return names_of(dict(poller.poll(patience(wait) * 1000)).get(sock.fileno(), 0), "POLL")


def names_of(mask, prefix):
    """Bits of poll and epoll by name."""
    known = ("IN", "OUT", "PRI", "RDHUP", "HUP", "ERR")
    return [name for name in known if mask & getattr(select, prefix + name)]


def read_to_end(sock, size=1 << 16):
    """All until the end of the stream."""
    parts = []
    while part := sock.recv(size):
        parts.append(part)
    return b"".join(parts)


def ioctl_int(sock, request):
    """The number that an ioctl answers."""
    number = array.array("i", [0])
    fcntl.ioctl(sock, request, number)
    return number[0]


def digest(data):
    """Of long bytes: how many, and which."""
    return len(data), hashlib.sha256(data).hexdigest()[:16]


def pattern(size, start=0):
    """Bytes that tell where they belong."""
    first, skip = divmod(start, 8)
    numbers = array.array("Q", range(first, (start + size) // 8 + 1))
    numbers.byteswap()
    return numbers.tobytes()[skip : skip + size]


@contextlib.contextmanager
def meanwhile(work, *arguments):
    """Another thread does `work` for the length of a `with`; its error becomes ours."""
    failed = []

    def do():
        try:
            work(*arguments)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=do)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    if failed:
        raise failed[0]


def later(seconds, call, *arguments):
    """For meanwhile(): wait, then call."""
    time.sleep(patience(seconds))
    call(*arguments)


def raw_recv(sock, size, flags=0):
    """recv(2) as C has it: Python repeats what a signal interrupts."""
    buffer = ctypes.create_string_buffer(size)
    got = libc.recv(sock.fileno(), buffer, size, flags)
    return errno.errorcode[ctypes.get_errno()] if got < 0 else buffer.raw[:got]


def reset_on_close(sock):
    """What closes it from now on sends a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
