"""Starts the real server for a test, on free ports and an own data directory."""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

GUARD_SECONDS = 60
"""A guard against waiting for ever, not a time that anything should take."""

URL_LINE = re.compile(r"^(messaging|rest|web chat|echo)\s+(\S+)$")


class Server:
    """`async with Server(config) as server`: running inside, gone with its data outside."""

    def __init__(self, config: str = "", echo: bool = False):
        self.config = config
        self.echo_wanted = echo
        self.urls: dict[str, str] = {}

    async def __aenter__(self) -> "Server":
        binary = os.environ.get("SERVER_BIN")
        assert binary, "SERVER_BIN must hold the path of the tidewire binary"
        self.data_dir = Path(tempfile.mkdtemp(prefix="tidewire-test-"))
        arguments = ["serve", "--listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0", "--data-dir", str(self.data_dir)]
        if self.echo_wanted:
            arguments.append("--echo")
        if self.config:
            file = self.data_dir / "test.toml"
            file.write_text(self.config)
            arguments += ["--config", str(file)]
        # A file, since a pipe that nobody reads would block a talkative server.
        self.log = open(self.data_dir / "stderr.log", "w+b")
        try:
            self.process = await asyncio.create_subprocess_exec(
                binary, *arguments, stdout=asyncio.subprocess.PIPE, stderr=self.log
            )
            await asyncio.wait_for(self._read_urls(), GUARD_SECONDS)
        except BaseException:
            await self.__aexit__()
            raise
        self.drain = asyncio.create_task(self.process.stdout.read())
        return self

    async def _read_urls(self) -> None:
        wanted = {"messaging", "rest", "web chat"} | ({"echo"} if self.echo_wanted else set())
        while not wanted <= self.urls.keys():
            line = (await self.process.stdout.readline()).decode()
            if line == "":
                self.log.seek(0)
                raise AssertionError(f"the server ended before it was ready:\n{self.log.read().decode()}")
            if match := URL_LINE.match(line.strip()):
                self.urls[match[1]] = match[2]

    async def __aexit__(self, *_) -> None:
        process = getattr(self, "process", None)
        if process is not None:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
        self.log.close()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    @property
    def messaging(self) -> str:
        return self.urls["messaging"]

    @property
    def echo(self) -> str:
        return self.urls["echo"]
