"""aiohttp: its client with the messaging server and through the gateway, its server behind the gateway.

Of the kinds of things that differ from `websockets`: pings of its own (`heartbeat`), `receive_json`, compression offered, a
handshake refused by a JSON body or by a redirect, cookies of a session, a server that closes with a code of its own.
"""

import asyncio
import io
import json
import unittest

import aiohttp
from aiohttp import WSMsgType, web
from gateway import Gateway
from server import GUARD_SECONDS, Server

CONFIG = """
[[listeners]]
address = "127.0.0.1:0"
[endpoints.bytes]
upstreams = ["{url}"]
[endpoints.hop]
upstreams = ["{url}"]
extensions = "per-hop"
"""


def guarded(test):
    async def within(self):
        await asyncio.wait_for(test(self), GUARD_SECONDS)

    return within


def message(sender, recipients, text):
    return {"type": "text", "sender": sender, "recipients": recipients, "text": text, "data": {"n": [1, None]}}


class Messaging(unittest.IsolatedAsyncioTestCase):
    @guarded
    async def test_users_talk_and_pings_of_the_client_are_answered(self):
        async with Server() as server, aiohttp.ClientSession() as session:
            anna = session.ws_connect(server.messaging, params={"id": "Jörg K", "ids": "strings"}, heartbeat=20, compress=15)
            async with anna as anna, session.ws_connect(server.messaging, params={"id": 2}) as bob:
                for number in range(20):
                    await bob.send_json(message(2, ["Jörg K"], f"{number} ü"))
                    received = await anna.receive_json()
                    self.assertEqual((received["sender"], received["text"]), ("2", f"{number} ü"))
                async with session.ws_connect(server.messaging, params={"id": 3}, autoping=False) as kim:
                    await kim.ping(b"mine")
                    while (received := await kim.receive()).type == WSMsgType.PING:
                        await kim.pong(received.data)
                    self.assertEqual((received.type, received.data), (WSMsgType.PONG, b"mine"))
                await bob.send_str("nonsense")
                ended = await bob.receive()
                self.assertEqual((ended.type, bob.close_code), (WSMsgType.CLOSE, 4001))

    @guarded
    async def test_rest(self):
        async with Server() as server, aiohttp.ClientSession(server.urls["rest"]) as session:
            async with session.post("/send-message", json=message(0, [7], "waits")) as answer:
                self.assertEqual(answer.status, 202)
                self.assertEqual((await answer.json())["data"]["refused"], [])
            # Sent in chunks.
            async def chunks():
                for part in json.dumps(message(0, [7], "in chunks")).encode().split(b","):
                    yield part if part.endswith(b"}") else part + b","
            async with session.post("/send-message", data=chunks(), headers={"Content-Type": "application/json"}) as answer:
                self.assertEqual(answer.status, 202, await answer.text())
            async with session.post("/send-message", json=message(0, [7], "x"), compress="gzip") as answer:
                self.assertEqual(answer.status, 415)
            async with session.post("/send-message", data=io.BytesIO(b"x" * 30_000_000), headers={"Content-Type": "application/json"}) as answer:
                self.assertEqual(answer.status, 413)
            async with session.ws_connect(server.messaging, params={"id": 7}) as user:
                texts = [(await user.receive_json())["text"] for _ in range(2)]
                self.assertEqual(texts, ["waits", "in chunks"])


async def backend(request):
    match request.path:
        case "/refused":
            return web.json_response({"error": "who are you"}, status=401, headers={"WWW-Authenticate": "Bearer"})
        case "/moved":
            raise web.HTTPFound("x")
        case "/broken":
            raise web.HTTPInternalServerError(text="a handler that fails")
    socket = web.WebSocketResponse(heartbeat=20, max_msg_size=0)
    await socket.prepare(request)
    async for received in socket:
        if received.type == WSMsgType.TEXT and received.data == "leave":
            await socket.close(code=4123, message=b"as you like")
        elif received.type == WSMsgType.TEXT:
            await socket.send_str(received.data)
        elif received.type == WSMsgType.BINARY:
            await socket.send_bytes(received.data)
    return socket


class Behind(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        application = web.Application()
        application.router.add_get("/{path:.*}", backend)
        self.runner = web.AppRunner(application)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        port = self.runner.addresses[0][1]
        config = CONFIG.format(url=f"ws://127.0.0.1:{port}/")
        paths = "".join(f'[[routes]]\nendpoint = "{name}"\npath = "/{name}/*"\nupstream_path = "rest"\n' for name in ("bytes", "hop"))
        self.gateway = Gateway(config + paths)
        self.session = aiohttp.ClientSession()

    async def asyncTearDown(self):
        await self.session.close()
        self.gateway.stop()
        await self.runner.cleanup()

    @guarded
    async def test_messages_and_closes_pass_both_ways(self):
        for name in ("bytes", "hop"):
            async with self.session.ws_connect(f"{self.gateway.url}{name}/x", compress=15, max_msg_size=0) as socket:
                texts = ["".join(f"é{number} " for number in range(length // 6 + 1))[:length] for length in (0, 1, 125, 126, 65_536, 400_000)]
                # Text of one line shrinks as well as a bomb does.
                texts += [("tide and wire, " * 70_000)[:length] for length in (65_537, 400_000, 1_000_000)]
                for text in texts:
                    await socket.send_bytes(text.encode())
                    self.assertEqual(await socket.receive_bytes(), text.encode())
                    await socket.send_str(text)
                    self.assertEqual(await socket.receive_str(), text)
                await socket.send_str("leave")
                ended = await socket.receive()
                self.assertEqual((ended.type, socket.close_code, ended.extra), (WSMsgType.CLOSE, 4123, "as you like"), name)

    @guarded
    async def test_refusals_reach_the_client_and_eject_nobody(self):
        for name in ("bytes", "hop"):
            for _ in range(10):
                for path, status in (("refused", 401), ("broken", 500)):
                    with self.assertRaises(aiohttp.WSServerHandshakeError) as refused:
                        await self.session.ws_connect(f"{self.gateway.url}{name}/{path}")
                    self.assertEqual(refused.exception.status, status, name)
            url = f"{self.gateway.url}{name}/refused".replace("ws:", "http:")
            handshake = {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            }
            async with self.session.get(url, headers=handshake) as answer:
                self.assertEqual((await answer.json(), answer.headers["WWW-Authenticate"]), ({"error": "who are you"}, "Bearer"))
            # It follows redirects by itself.
            async with self.session.ws_connect(f"{self.gateway.url}{name}/moved") as socket:
                await socket.send_str("still here")
                self.assertEqual(await socket.receive_str(), "still here")


if __name__ == "__main__":
    unittest.main()
