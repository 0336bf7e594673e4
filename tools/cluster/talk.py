"""What the trial's pods run: `talk.py serve` answers each message with itself; `talk.py ask ADDRESS
[SECONDS]` sends such messages over one connection, checks each answer, and prints "DONE MESSAGES"
at the end, or what went wrong; `talk.py idle` waits, for others to run it beside.

Standard library only: it runs in a container as it is. Sockets are in non-blocking mode, as those
of most servers are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

PORT = 7000
SIZE = 64
PAUSE = 0.002  # seconds between two messages


async def serve() -> None:
    """Answer whoever connects, for ever."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while message := await reader.read(SIZE):
                writer.write(message)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", PORT)
    print("READY", flush=True)
    await server.serve_forever()


async def ask(address: str, seconds: float) -> None:
    """Ask over one connection for so long."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(address, PORT)
            break
        except OSError:
            await asyncio.sleep(0.05)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        message = os.urandom(SIZE)
        writer.write(message)
        if (answer := await reader.readexactly(SIZE)) != message:
            sys.exit(f"WRONG after {count} messages: {message.hex()} came as {answer.hex()}")
        count += 1
        await asyncio.sleep(PAUSE)
    writer.close()
    print("DONE", count, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    elif sys.argv[1] == "idle":
        time.sleep(1e6)
    else:
        asyncio.run(ask(sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 1e9))
