"""The listening sockets of a proxy that runs, for another one that takes its place.

Both accept from them for a moment, and none is closed, so that nobody is refused. Who has been
taken over from gives its name back, accepts no more, and lets its connections finish.
"""

from __future__ import annotations

import array
import errno
import json
import socket
import time

from sockproxy.errors import SockproxyError, UsageError
from sockproxy.proxy.asking import ANSWER_TIME, ask
from sockproxy.rundir import Name, connect, is_running, take_name

__all__ = ["Taken", "give_sockets", "retire", "take_sockets"]

MOST_SOCKETS = 250  # at once: SCM_MAX_FD is 253
_LONGEST = 1 << 16  # bytes of the places' names
_PAUSE = 0.01  # seconds

Taken = list[tuple[str, list[socket.socket]]]
"""Listening sockets, by the name of the place where they listen: ServiceOptions.listen."""


def give_sockets(asker: socket.socket, sockets: Taken) -> None:
    """Send them to who asked for "sockets". Raises OSError, also where there are too many."""
    fds = array.array("i", [each.fileno() for _, of_place in sockets for each in of_place])
    places = [[place, len(of_place)] for place, of_place in sockets]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
    if len(fds) > MOST_SOCKETS:
        raise OSError(errno.E2BIG, "more sockets than one message can have")
    asker.sendmsg([json.dumps(places).encode()], rights)


def take_sockets(name: str) -> Taken:
    """Those of the proxy `name`, which has them still; none where no such proxy runs.

    Raises SockproxyError where it does not give them.
    """
    if not is_running(name):
        return []
    try:
        with connect(name) as asked:
            asked.settimeout(ANSWER_TIME)
            asked.sendall(b"sockets\n")
            told, rights, _, _ = socket.recv_fds(asked, _LONGEST, MOST_SOCKETS)
        left = [socket.socket(fileno=fd) for fd in rights]  # first: they are closed whatever comes
        places = json.loads(told)
        return [(str(place), [left.pop(0) for _ in range(count)]) for place, count in places]
    except (OSError, ValueError, IndexError, TypeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        raise SockproxyError(
            f"take over the sockets of {name}",
            errno=number,
            hint="is it of another version, does it end, or listen in more than 250 places?"
            " start without --take-over then",
        ) from None


def retire(name: str) -> Name:
    """Have the proxy `name`, if it runs, accept no more and drain; its name, which is ours then.

    Raises SockproxyError where that takes too long.
    """
    deadline = time.monotonic() + ANSWER_TIME
    if is_running(name):
        ask(name, "retire")
    while True:
        try:
            return take_name(name)
        except UsageError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
