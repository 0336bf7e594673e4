"""An engine's kernel: there from the start, later, or never."""

from __future__ import annotations

from collections.abc import Callable

from sockproxy.controller.engine import Engine
from sockproxy.controller.inquiry import Backoff, Inquiry
from sockproxy.controller.loop import Timer
from sockproxy.controller.mechanisms import SPLICE, VERDICT_ONLY
from sockproxy.controller.verdicts import Verdict, why_off
from sockproxy.errors import SockproxyError, is_passing
from sockproxy.kernel import SockmapKernel, SpliceKernel

__all__ = ["Acceleration"]

EXAMINING = "doctor is finding out what this kernel can do"


def _ignore(_: object) -> None:
    pass


class Acceleration:
    """Gives an engine a kernel as soon as doctor allows it; the engine's `why_not` says why it
    has none until then.

    All methods belong to the loop's thread, or come before it runs.

    pairs: how many at once. parser: False for the verdict without one. force: take a kernel
    even where doctor found that it is not exact.
    came: receives the kernel, before the engine has it.
    tried: called each time when there is no more to be done for now: the engine has a kernel,
    or never will, or it is tried again later.
    log: receives a line when that changes.
    """

    def __init__(
        self,
        engine: Engine,
        pairs: int,
        *,
        parser: bool = True,
        force: bool = False,
        came: Callable[[SpliceKernel], None] = _ignore,
        tried: Callable[[], None] = lambda: None,
        log: Callable[[str], None] = _ignore,
    ) -> None:
        self._engine, self._pairs, self._parser, self._force = engine, pairs, parser, force
        self._came, self._tried, self._log = came, tried, log
        self._mechanism = SPLICE if parser else VERDICT_ONLY
        self.may_come = True
        """Whether the engine, if it has no kernel, may have one later."""
        self._began = False
        self._backoff = Backoff()
        self._timer: Timer | None = None
        self._inquiry = Inquiry(
            engine.loop, self._mechanism,
            found=self._on_found, undecided=self._on_undecided, told=self._on_told,
        )  # fmt: skip

    def begin(self) -> None:
        """Take a kernel if that is known to be allowed; else do what there is to do when the
        engine's loop runs."""
        self._engine.why_not = EXAMINING
        if self._force:
            self._open()
        else:
            self._inquiry.begin()
        self._began = True

    def _on_found(self, verdict: Verdict) -> None:
        if verdict.on:
            self._open()
        else:
            self._have_none(why_off(self._mechanism))

    def _on_told(self, line: str) -> None:
        self._engine.why_not = f"{EXAMINING}: {line}"
        self._log(line)

    def _on_undecided(self, why: str, seconds: float) -> None:
        self._engine.why_not = f"could not find out whether {self._mechanism} is safe here: {why}"
        self._log(f"relaying in user space: {self._engine.why_not}; trying again in {seconds:g} s")
        self._tried()

    def _open(self) -> None:
        try:
            kernel = SockmapKernel(2 * self._pairs, parser=self._parser)
        except SockproxyError as error:
            if not is_passing(error.errno):
                self._have_none(str(error))
                return
            seconds = self._backoff.next()
            self._timer = self._engine.loop.later(seconds, self._open)
            self._engine.why_not = str(error)
            self._log(f"relaying in user space: {error}; trying again in {seconds:g} s")
        else:
            self._came(kernel)
            self._engine.use(kernel)
            if self._began:
                self._log("accelerated from now on; connections from before stay in user space")
        self._tried()

    def _have_none(self, why: str) -> None:
        self.may_come = False
        self._engine.why_not = why
        self._log(f"relaying in user space: {why}")
        self._tried()

    def close(self) -> None:
        """Try no more, and end the doctor that runs. Twice is allowed."""
        self._inquiry.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
