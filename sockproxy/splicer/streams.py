"""Out of asyncio: the socket of a transport or a stream, and what was read of it already."""

from __future__ import annotations

import asyncio
import os
import socket

from sockproxy.errors import SockproxyError, UsageError

__all__ = ["detach_stream", "detach_transport"]

FIRST_WAIT, LONGEST_WAIT = 0.0005, 0.05  # seconds between looks at what is still to be written


async def detach_transport(transport: asyncio.Transport) -> socket.socket:
    """The socket of a transport, once all that was written to it is the kernel's.

    From the call on the transport reads nothing more, and after it asyncio has closed it: its
    protocol is told connection_lost(None). The connection goes on, with the socket returned.
    What the protocol was given before, by data_received(), is the caller's to hand on.

    Raises UsageError for a transport that is no TCP connection or has TLS, and SockproxyError
    when the connection is lost meanwhile.
    """
    own = transport.get_extra_info("socket")
    if own is None or own.family not in (socket.AF_INET, socket.AF_INET6):
        raise UsageError("detach a transport that is no TCP connection")
    if transport.get_extra_info("ssl_object") is not None:
        raise UsageError(
            "detach a transport with TLS", hint="its bytes are encrypted in user space"
        )
    if not transport.is_closing():
        transport.pause_reading()
    wait = FIRST_WAIT
    while not transport.is_closing() and transport.get_write_buffer_size():
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
    if transport.is_closing():
        raise SockproxyError("detach a transport", hint="its connection is closed or lost")
    kept = socket.socket(fileno=os.dup(own.fileno()))
    transport.abort()  # with another descriptor for it, that is no end of the connection
    return kept


async def detach_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[socket.socket, bytes]:
    """The socket of a stream, and the bytes that asyncio had read of it and the caller not.

    As detach_transport() otherwise; both objects are of no use after.
    """
    transport = writer.transport
    if not isinstance(transport, asyncio.Transport):
        raise UsageError("detach a stream that cannot be read")
    kept = await detach_transport(transport)
    reader.feed_eof()  # so that read() returns what there is, and does not wait for more
    return kept, await reader.read()
