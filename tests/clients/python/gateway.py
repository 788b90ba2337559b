"""Starts `tidewire gateway` and backends for a test; each is a process, ended by `stop`."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from server import GUARD_SECONDS

HERE = Path(__file__).parent
NODE_BACKEND = HERE.parent / "node/backend.mjs"
HAS_NODE = (HERE.parent / "node/node_modules/ws").is_dir() and shutil.which("node") is not None


class Program:
    """A process whose first line of the form `LABEL URL` is waited for."""

    def __init__(self, label: str, *command: str):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        late = threading.Timer(GUARD_SECONDS, self.process.kill)
        late.start()
        self.url = None
        for line in self.process.stdout:
            if match := re.match(rf"^{label}\s+(\S+)$", line.strip()):
                self.url = match[1]
                break
        late.cancel()
        if self.url is None:
            self.stop()
            raise AssertionError(f"{command} ended before it was ready")
        # Nothing that is waited for follows; it must not block all the same.
        self.drain = threading.Thread(target=self.process.stdout.read, daemon=True)
        self.drain.start()

    @property
    def port(self) -> int:
        return int(re.search(r":(\d+)/", self.url)[1])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        if self.url is not None:
            self.drain.join()
        self.process.stdout.close()


def python_backend(name: str, port: int = 0) -> Program:
    return Program("backend", sys.executable, str(HERE / "backend.py"), name, str(port))


def node_backend(name: str, port: int = 0) -> Program:
    return Program("backend", "node", str(NODE_BACKEND), name, str(port))


class Gateway(Program):
    def __init__(self, config: str, suffix: str = ".toml", arguments: tuple[str, ...] = ()):
        binary = os.environ.get("SERVER_BIN")
        assert binary, "SERVER_BIN must hold the path of the tidewire binary"
        self.folder = Path(tempfile.mkdtemp(prefix="tidewire-test-"))
        file = self.folder / f"gateway{suffix}"
        file.write_text(config)
        log = str(self.folder / "gateway.log")
        super().__init__(
            "gateway", binary, "gateway", "--config", str(file), "--listen", "127.0.0.1:0", "--log", log, *arguments
        )

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)
