"""Starts the library's example programs: an echo server, and a client that echoes what servers send it.

`LIBRARY_SERVER` and `LIBRARY_CLIENT` name the binaries of the examples `conformance_server` and `conformance_client`.
"""

import asyncio
import os

from server import GUARD_SECONDS

SERVER = os.environ.get("LIBRARY_SERVER")
CLIENT = os.environ.get("LIBRARY_CLIENT")


class EchoServer:
    """`async with EchoServer("--deflate") as server`: running inside."""

    def __init__(self, *options: str):
        self.options = options

    async def __aenter__(self) -> "EchoServer":
        self.process = await asyncio.create_subprocess_exec(SERVER, *self.options, stdout=asyncio.subprocess.PIPE)
        line = await asyncio.wait_for(self.process.stdout.readline(), GUARD_SECONDS)
        word, self.url = line.decode().split()
        assert word == "echo", line
        return self

    async def __aexit__(self, *_) -> None:
        self.process.kill()
        await self.process.wait()


async def run_client(url: str, *options: str) -> None:
    """Runs the client against a server that has cases, until it ends by itself; fails if it fails."""
    process = await asyncio.create_subprocess_exec(CLIENT, *options, url, stderr=asyncio.subprocess.PIPE)
    try:
        _, errors = await asyncio.wait_for(process.communicate(), GUARD_SECONDS)
        assert process.returncode == 0, errors.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
