"""A line to a server that can be slow: `python -m … port target`. Each line that it reads is a new delay in seconds."""

import asyncio
import sys
from contextlib import suppress

HOST = "127.0.0.1"
delay = 0.0


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(port: str, target: str) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other_writer = await asyncio.open_connection(HOST, int(target))
        except OSError:
            writer.close()
            return
        # What is asked is delayed, and what is answered only while it is read: once each way would be twice as long.
        await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer))

    async with await asyncio.start_server(connected, HOST, int(port)):
        while line := await asyncio.to_thread(sys.stdin.readline):
            globals()["delay"] = float(line) / 2


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
