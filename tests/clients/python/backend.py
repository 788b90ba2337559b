"""A backend made of `websockets`, as a program: prints its URL, then echoes.

These texts it does not echo: `info` asks what it knows about its side of the connection, `close CODE REASON` makes it close.
"""

import asyncio
import json
import sys

from websockets.asyncio.server import serve


async def echo(socket) -> None:
    async for message in socket:
        if message == "info":
            request = socket.request
            info = {
                "name": sys.argv[1],
                "path": request.path,
                "headers": {name.lower(): value for name, value in request.headers.raw_items()},
                "extensions": [extension.name for extension in socket.protocol.extensions],
                "protocol": socket.subprotocol,
            }
            await socket.send(json.dumps(info))
        elif isinstance(message, str) and message.startswith("close "):
            _, code, reason = message.split(" ", 2)
            await socket.close(int(code), reason)
        else:
            await socket.send(message)


def choose(_socket, offered):
    return "v2.chat" if "v2.chat" in offered else None


async def main() -> None:
    port = int(sys.argv[2])
    async with serve(echo, "127.0.0.1", port, max_size=None, select_subprotocol=choose) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"backend ws://127.0.0.1:{port}/", flush=True)
        # Gone with the test, however that ends.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
