"""Asks running proxies, all at once: one that does not answer keeps nobody from the others."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

from sockproxy.errors import SockproxyError
from sockproxy.proxy.answers import MOST_BYTES, read_answer
from sockproxy.rundir import connect, users
from sockproxy.units import format_size

__all__ = ["ANSWER_TIME", "Answers", "ask", "ask_all"]

ANSWER_TIME = 10.0  # seconds that a proxy has to answer
QUIET = 2.0  # seconds of silence that are borne where others are asked as well
LATE = 1.0  # seconds after which it is said for whom one waits
POLL = 50  # milliseconds
CHUNK = 1 << 16
PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid

Answers = dict[str, dict[str, Any] | SockproxyError]
"""By the name of the proxy: its answer, or why there is none."""


def ask_all(
    names: Iterable[str],
    question: str,
    quiet: float = QUIET,
    waits: Callable[[str], None] = lambda _line: None,
) -> Answers:
    """What each answers to the question, one of MOST_BYTES.

    quiet: seconds without a byte after which a proxy is given up.
    waits: is told for whom this waits, once it takes long.
    """
    askings = [_Asking(name, question, quiet) for name in names]
    late = time.monotonic() + LATE
    told = False
    try:
        while waiting := [each for each in askings if each.outcome is None]:
            poll = select.poll()
            for each in waiting:
                if each.sock is not None:
                    poll.register(each.sock, select.POLLIN)
            poll.poll(POLL)
            for each in waiting:
                each.go_on()
            if not told and time.monotonic() > late:
                told = True
                silent = [each.name for each in askings if each.outcome is None]
                if silent:
                    waits(f"waiting for {', '.join(silent)} to answer")
    finally:
        for each in askings:
            each.close()
    return {each.name: each.outcome for each in askings if each.outcome is not None}


def ask(name: str, question: str) -> dict[str, Any]:
    """What the proxy `name` answers to the question, one of MOST_BYTES.

    Raises SockproxyError when no such proxy runs or it does not answer in time.
    """
    answer = ask_all([name], question, ANSWER_TIME)[name]
    if isinstance(answer, SockproxyError):
        raise answer
    return answer


class _Asking:
    """One question to one proxy. outcome: None as long as it is not known."""

    def __init__(self, name: str, question: str, quiet: float) -> None:
        self.name = name
        self.sock: socket.socket | None = None
        self.outcome: dict[str, Any] | SockproxyError | None = None
        self._question, self._quiet = question, quiet
        self._heard = bytearray()
        self._begun = self._last = time.monotonic()

    def go_on(self) -> None:
        """Do what can be done without waiting."""
        try:
            if self.sock is None:
                self._connect()
            if self.sock is not None:
                self._hear(self.sock)
        except BlockingIOError:
            self._look_at_the_clock()
        except SockproxyError as error:
            self.outcome = error
        except ConnectionError:
            self.outcome = SockproxyError(
                f"the proxy {self.name} gave no answer", hint="has it just ended? ask again"
            )
        except OSError as error:
            self.outcome = SockproxyError(f"ask the proxy {self.name}", errno=error.errno)

    def _connect(self) -> None:
        try:
            sock = connect(self.name)
        except (FileNotFoundError, ConnectionRefusedError):
            raise SockproxyError(
                f"nothing named {self.name} is running",
                hint="'sockproxy status' lists those that are",
            ) from None
        self.sock = sock
        _, user, _ = PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
        if user not in users():
            raise SockproxyError(f"ask the proxy {self.name}: it is run by the user {user}")
        sock.send(self._question.encode() + b"\n")

    def _hear(self, sock: socket.socket) -> None:
        most = MOST_BYTES[self._question]
        while part := sock.recv(CHUNK):
            self._last = time.monotonic()
            self._heard += part
            if len(self._heard) > most:
                raise SockproxyError(f"the proxy {self.name} answers more than {format_size(most)}")
            if self._last - self._begun > ANSWER_TIME:
                break
        else:
            self.outcome = read_answer(self.name, self._question, bytes(self._heard))
            return
        self._look_at_the_clock()

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if now - self._last > self._quiet or now - self._begun > ANSWER_TIME:
            raised = min(self._quiet, ANSWER_TIME)
            self.outcome = SockproxyError(
                f"the proxy {self.name} does not answer within {raised:g} s",
                hint="is it stopped (SIGSTOP) or overloaded?",
            )

    def close(self) -> None:
        """Twice is allowed."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None
