"""Starts the library's console examples, types lines for them and reads what they print."""

import asyncio

from server import GUARD_SECONDS


class Example:
    """`async with Example(program, *arguments) as example`: running inside."""

    def __init__(self, program: str, *arguments: str):
        self.command = [program, *map(str, arguments)]
        self.seen: list[str] = []

    async def __aenter__(self) -> "Example":
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*self.command, stdin=pipe, stdout=pipe)
        return self

    async def __aexit__(self, *_) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def until(self, part: str) -> str:
        """The next line that contains this."""
        while True:
            line = await asyncio.wait_for(self.process.stdout.readline(), GUARD_SECONDS)
            assert line, f"{self.command} ended before {part!r}, after {self.seen}"
            self.seen.append(line.decode().rstrip("\n"))
            if part in self.seen[-1]:
                return self.seen[-1]

    async def type(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def stop(self) -> None:
        """An empty line ends it, well."""
        await self.type("")
        output, _ = await asyncio.wait_for(self.process.communicate(), GUARD_SECONDS)
        self.seen += output.decode().splitlines()
        assert self.process.returncode == 0, self.seen

    async def output(self) -> list[str]:
        """All lines of one that ends by itself."""
        output, _ = await asyncio.wait_for(self.process.communicate(), GUARD_SECONDS)
        assert self.process.returncode == 0
        return output.decode().splitlines()


async def port_of(server: Example) -> int:
    """Where a server that was given port 0 listens."""
    line = await server.until("Listening on ")
    await server.until("Press Enter")
    return int(line.rsplit(":", 1)[1])
