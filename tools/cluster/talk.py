"""What the trial's pods run: `talk.py serve [PORT]` answers each message with itself; `talk.py ask
ADDRESS [SECONDS]` sends such messages over one connection, checks each answer, and prints
"DONE MESSAGES" at the end, or what went wrong; `talk.py until ADDRESS PORT COUNT` does so over a
connection to each of COUNT ports, until their other ends end; `talk.py idle` waits, for others to
run it beside.

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
RARELY = 0.05  # where there are many connections


async def serve(port: int) -> None:
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

    server = await asyncio.start_server(answer, "0.0.0.0", port)
    print("READY", flush=True)
    await server.serve_forever()


async def ask(address: str, seconds: float) -> None:
    """Ask over one connection for so long."""
    reader, writer = await connect(address, PORT)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        await say(reader, writer, count)
        count += 1
        await asyncio.sleep(PAUSE)
    writer.close()
    print("DONE", count, flush=True)


async def until(address: str, first: int, count: int) -> None:
    """Ask over a connection to each of these ports, for as long as each is answered."""

    async def one(port: int) -> int:
        reader, writer = await connect(address, port)
        sent = 0
        try:
            while True:
                await say(reader, writer, sent)
                sent += 1
                await asyncio.sleep(RARELY)
        except (ConnectionError, EOFError):
            writer.close()
        return sent

    print("DONE", sum(await asyncio.gather(*map(one, range(first, first + count)))), flush=True)


async def connect(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, once somebody listens."""
    while True:
        try:
            return await asyncio.open_connection(address, port)
        except OSError:
            await asyncio.sleep(0.05)


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int) -> None:
    """A message and its answer. Ends this program where that is another one."""
    message = os.urandom(SIZE)
    writer.write(message)
    try:
        answer = await reader.readexactly(SIZE)
    except asyncio.IncompleteReadError as error:
        if message.startswith(error.partial):
            raise
        answer = error.partial
    if answer != message:
        sys.exit(f"WRONG after {count} messages: {message.hex()} came as {answer.hex()}")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(int(sys.argv[2]) if len(sys.argv) > 2 else PORT))
    elif sys.argv[1] == "idle":
        time.sleep(1e6)
    elif sys.argv[1] == "until":
        asyncio.run(until(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    else:
        asyncio.run(ask(sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 1e9))
