"""A prover as a child process that examines some mechanisms, and what it says meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from sockproxy import proof
from sockproxy.proof.protocol import Said, command, parse_line

__all__ = ["ENOUGH", "TIDY", "Examination"]

ENOUGH = 150.0  # seconds that an examination may take; a prover ends by itself long before
TIDY = 10.0  # seconds that a prover has to remove what its probes have made
CHUNK = 1 << 16
ROOT = Path(__file__).resolve().parents[2]  # from where the prover is imported


class Examination:
    """A prover that runs. It ends with the thread that started it, however that ends.

    said: a descriptor that is readable when there is something for hear(). ended: one that is
    readable when the prover has ended.
    """

    def __init__(self, mechanisms: Iterable[str]) -> None:
        """Start it. Raises OSError where there is no prover, or no room for a process."""
        if not proof.prover:
            raise FileNotFoundError(errno.ENOENT, "no prover is registered")
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._rest = b""
        self._trouble = ""
        self._process = subprocess.Popen(
            command(proof.prover, mechanisms),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=os.environ | {"PYTHONPATH": path},
            process_group=0,  # Ctrl-C is for the process that asks, which then ends the prover
        )
        assert self._process.stdout is not None
        self.said = self._process.stdout.fileno()
        os.set_blocking(self.said, False)
        try:
            self.ended = os.pidfd_open(self._process.pid)
        except OSError:
            self._stop()
            raise

    def hear(self) -> list[Said]:
        """What the prover has said since the last call; does not wait."""
        heard = self._rest
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.said, CHUNK):
                heard += chunk
        *lines, self._rest = heard.split(b"\n")
        said = []
        for line in lines:
            if (parsed := parse_line(line)) is not None:
                said.append(parsed)
            else:  # the last words of a traceback
                self._trouble = line.decode(errors="replace").strip() or self._trouble
        return said

    def said_within(self, seconds: float) -> Iterator[Said]:
        """What the prover says, as it comes, until it has ended or the time is up."""
        end = time.monotonic() + seconds
        poll = select.poll()
        for each in (self.said, self.ended):
            poll.register(each, select.POLLIN)
        ended = False
        while not ended and (left := end - time.monotonic()) > 0:
            ready = dict(poll.poll(left * 1000))
            ended = self.ended in ready
            yield from self.hear()
            if ready.get(self.said, 0) & select.POLLHUP:
                poll.unregister(self.said)

    def why_no_answer(self) -> str:
        """How a prover ended, as a phrase, that was to say more than it did."""
        code = self._process.poll()
        if code is None:
            return "no answer in time"
        ended = f"ended by signal {-code}" if code < 0 else f"ended with status {code}"
        return f"{ended}: {self._trouble}" if self._trouble else ended

    def send_signal(self, number: int) -> None:
        """Send the prover a signal, if it has not ended."""
        self._process.send_signal(number)

    def close(self) -> None:
        """End the prover, after it has tidied up. Closing twice is allowed."""
        if self.ended >= 0:
            os.close(self.ended)
            self.ended = -1
            self._stop()

    def _stop(self) -> None:
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(TIDY)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
