"""What a test's connections carry, and how they end."""

from __future__ import annotations

import struct
from dataclasses import dataclass

# Who ends its stream first, and how. With "both" each end shuts down its sending side
# after its last byte. A close or a reset comes when the end has sent and received all.
ENDS = (
    "both",
    "client",
    "server",
    "client-close",
    "server-close",
    "client-reset",
    "server-reset",
)
HEADER = struct.Struct(">IQI")  # number, seed, kind: the first bytes of every connection
MIXED = "mixed"
LARGEST_WRITE = 1_000_000


@dataclass(frozen=True)
class Flow:
    """Connections that are all alike.

    connections   how many
    at_once       of them, how many are open at a time; 0: all
    up, down      bytes from and to each client; in each round, if there are rounds
    rounds        0: both directions stream at once; n: n requests (up), each answered (down)
    writes        bytes in each write, or "mixed": 1 B to 1 MB, small ones as likely as large
    reads         most bytes in each read
    up_rate       bytes/s that the server reads of a connection; 0: as fast as they come
    down_rate     the same of the client
    pause         seconds before the first read of each end, the server's of the header included
    accept_delay  seconds for which the server listens but does not accept
    end           one of ENDS
    reset_after   for a reset: bytes sent before it, whatever was received; None: at the end
    seed          of all patterns
    patience      seconds without a byte on any connection that count as a stall, over and
                  above the pauses asked for
    limit         seconds that all may take
    """

    connections: int = 1
    at_once: int = 0
    up: int = 0
    down: int = 0
    rounds: int = 0
    writes: int | str = 65536
    reads: int = 1 << 20
    up_rate: float = 0
    down_rate: float = 0
    pause: float = 0
    accept_delay: float = 0
    end: str = "both"
    reset_after: int | None = None
    seed: int = 1
    patience: float = 10
    limit: float = 120

    def __post_init__(self):
        if self.end not in ENDS:
            raise ValueError(f"end: {self.end!r} is none of {', '.join(ENDS)}")
        if self.rounds and not (self.up and self.down):
            raise ValueError("rounds: a round needs a request and a response")
        if self.writes != MIXED and not 1 <= self.writes <= LARGEST_WRITE:
            raise ValueError(f"writes: {self.writes!r} is neither a size nor {MIXED!r}")
        if self.reset_after is not None and not self.end.endswith("reset"):
            raise ValueError("reset_after: the end is not a reset")

    @property
    def kind(self):
        """A number for the way that the connections go, to compare in the header."""
        return ENDS.index(self.end) << 1 | bool(self.rounds)

    def total(self, direction):
        """Bytes of one connection in "up" or "down"."""
        return getattr(self, direction) * (self.rounds or 1)

    def allowed(self, role, received):
        """How many bytes the end may have sent that has received so many."""
        total = self.total("up" if role == "client" else "down")
        if self.rounds and role == "client":
            total = min(total, (received // self.down + 1) * self.up)
        elif self.rounds:
            total = min(total, received // self.up * self.down)
        if self.resets(role) and self.reset_after is not None:
            total = min(total, self.reset_after)
        return total

    def seeds(self, role, number):
        """Seeds of what the end sends and of what it receives."""
        up = (self.seed << 32) + 2 * number
        return (up, up + 1) if role == "client" else (up + 1, up)

    def resets(self, role):
        """Whether this end resets its connections."""
        return self.end == f"{role}-reset"

    def closes(self, role):
        """Whether this end closes its connections without waiting for the other."""
        return self.end == f"{role}-close"

    def waits_for_end(self, role):
        """Whether this end goes on sending nothing until the other has ended its stream."""
        return self.end.split("-")[0] == ("server" if role == "client" else "client")

    @property
    def whole_before_reset(self):
        """Whether TCP must have delivered all that the resetting end sent.

        A reset throws away what is unsent, so only where each byte has been answered.
        """
        return self.end == "client-reset" and bool(self.rounds) and self.reset_after is None

    @property
    def all_reach_server(self):
        """Whether a client cannot be gone before its connection came to the server."""
        return self.end != "client-reset" or (self.down > 0 and self.reset_after is None)
