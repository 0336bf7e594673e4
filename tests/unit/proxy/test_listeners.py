"""Listening sockets that cannot be watched for a moment."""

from __future__ import annotations

import errno
import socket

from sockproxy.proxy.listeners import Listeners
from sockproxy.worker.loop import EventLoop
from tests.support.proxy_thread import LISTEN


class ShortOfMemory(EventLoop):
    """A loop that cannot watch one more descriptor than `room`."""

    room = 0

    def watch(self, fd, events, handler):
        if not self.room:
            raise OSError(errno.ENOMEM, "epoll_ctl")
        self.room -= 1
        super().watch(fd, events, handler)


def test_clients_are_accepted_once_there_is_memory_to_watch_for_them():
    """Not being able to must not end the loop, on which other connections live."""
    loop, came = ShortOfMemory(), []

    def accepted(client, _peer):
        came.append(client)
        client.close()
        if len(came) == 2:
            loop.stop()

    listeners = Listeners(loop, has_room=lambda: True, accepted=accepted)
    places = [listeners.bind(LISTEN) for _ in range(2)]
    loop.room = 1  # for the first of them
    listeners.accept()
    loop.later(0.01, lambda: setattr(loop, "room", 2))
    loop.later(5, loop.stop)
    clients = [socket.create_connection(place.sockaddr, 5) for place in places]
    loop.run()
    for client in clients:
        client.close()
    listeners.close()
    loop.close()
    assert len(came) == 2
