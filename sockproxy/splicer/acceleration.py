"""A worker's kernel: there from the start, later, or never."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable

from sockproxy.bpf.seam import SpliceKernel
from sockproxy.bpf.splice import SockmapKernel
from sockproxy.errors import SockproxyError, is_passing
from sockproxy.proof.ask import known_proof, why_not_proved
from sockproxy.proof.mechanisms import SPLICE, VERDICT_ONLY
from sockproxy.proof.proof import Proof
from sockproxy.splicer.inquiry import Backoff, Inquiry
from sockproxy.worker.door import Accelerated, Timer

__all__ = ["Acceleration"]

log = logging.getLogger("sockproxy.splicer")

EXAMINING = "doctor is finding out what this kernel can do"


def _ignore(_: object) -> None:
    pass


class Acceleration:
    """Gives a worker a kernel as soon as doctor allows it; the worker's `why_not` says why it
    has none until then.

    All methods belong to the loop's thread, or come before it runs.

    pairs: how many at once. parser: False for the verdict program alone. force: take a kernel
    even where doctor found that it is not exact.
    came: receives the kernel, before the worker has it.
    tried: called each time when there is no more to be done for now: the worker has a kernel,
    or never will, or it is tried again later.
    When that changes it is a line of the logger "sockproxy.splicer".
    """

    def __init__(
        self,
        worker: Accelerated,
        pairs: int,
        *,
        parser: bool = True,
        force: bool = False,
        came: Callable[[SpliceKernel], None] = _ignore,
        tried: Callable[[], None] = lambda: None,
    ) -> None:
        self._worker, self._pairs, self._parser, self._force = worker, pairs, parser, force
        self._came, self._tried = came, tried
        self._mechanism = SPLICE if parser else VERDICT_ONLY
        known = None if force else known_proof(self._mechanism)
        self.may_come = known is None or known.on or not known.known
        """Whether the worker, if it has no kernel, may have one later."""
        self._began = False
        self._last_trouble = ""
        self._opener: threading.Thread | None = None
        self._made: SpliceKernel | SockproxyError | None = None
        self._backoff = Backoff()
        self._timer: Timer | None = None
        self._inquiry = Inquiry(
            worker.loop,
            self._mechanism,
            found=self._on_found,
            undecided=self._on_undecided,
            told=self._on_told,
        )

    def begin(self) -> None:
        """Take a kernel if that is known to be allowed; else do what there is to do when the
        worker's loop runs."""
        self._worker.why_not = EXAMINING
        if self._force:
            self._open()
        else:
            self._inquiry.begin()
        self._began = True

    def _on_found(self, proof: Proof) -> None:
        if proof.on:
            self._open()
        else:
            self._have_none(why_not_proved(self._mechanism))

    def _on_told(self, line: str) -> None:
        self._worker.why_not = f"{EXAMINING}: {line}"
        if not self._last_trouble:  # a doctor that is asked again has much the same to tell
            log.info(line)

    def _on_undecided(self, why: str, seconds: float) -> None:
        self._worker.why_not = f"could not find out whether {self._mechanism} is safe here: {why}"
        self._trouble(self._worker.why_not, seconds)
        self._tried()

    def _trouble(self, why: str, seconds: float) -> None:
        """Log what keeps us from it for now, but not the same each time."""
        if why != self._last_trouble:
            self._last_trouble = why
            log.warning(f"relaying in user space: {why}; trying again in {seconds:g} s")

    def _open(self) -> None:
        """Load the programs: some tenths of a second, or seconds for very many pairs."""
        if not self._began:
            self._on_made(self._make())
            return
        # The loop must go on with the connections that it has.
        opener = threading.Thread(target=self._open_aside, name="sockproxy-open")
        try:
            opener.start()
        except RuntimeError:  # there may be no more threads now
            self._on_made(SockproxyError("start a thread", errno=errno.EAGAIN))
        else:
            self._opener = opener

    def _open_aside(self) -> None:
        self._made = self._make()
        self._worker.loop.call(self._take_made)

    def _make(self) -> SpliceKernel | SockproxyError:
        try:
            return SockmapKernel(2 * self._pairs, parser=self._parser)
        except SockproxyError as error:
            return error
        except OSError as error:
            return SockproxyError("load the programs", errno=error.errno)

    def _take_made(self) -> None:
        made, self._made = self._made, None
        if made is not None:
            self._on_made(made)

    def _on_made(self, made: SpliceKernel | SockproxyError) -> None:
        if not isinstance(made, SockproxyError):
            made = self._use(made)
        if not isinstance(made, SockproxyError):
            self._came(made)
            if self._began:
                log.info("accelerated from now on; connections from before stay in user space")
        elif is_passing(made.errno):
            seconds = self._backoff.next()
            self._timer = self._worker.loop.later(seconds, self._open)
            self._worker.why_not = str(made)
            self._trouble(str(made), seconds)
        else:
            self._have_none(str(made))
            return
        self._tried()

    def _use(self, kernel: SpliceKernel) -> SpliceKernel | SockproxyError:
        """Give it to the worker; or why that cannot be."""
        try:
            self._worker.use(kernel)
        except OSError as error:
            kernel.close()
            return SockproxyError("use the programs", errno=error.errno)
        return kernel

    def _have_none(self, why: str) -> None:
        self.may_come = False
        self._worker.why_not = why
        log.warning(f"relaying in user space: {why}")
        self._tried()

    def close(self) -> None:
        """Try no more, and end the doctor that runs. Twice is allowed."""
        self._inquiry.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._opener is not None:
            self._opener.join()
            self._opener = None
        if self._made is not None and not isinstance(self._made, SockproxyError):
            self._made.close()
        self._made = None
