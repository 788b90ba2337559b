"""The example server of the simple protocol (`PROTO_SERVER`) with an encoder and a decoder of its own, after CppServer's bytes."""

import asyncio
import os
import struct
import unittest
import uuid

from server import GUARD_SECONDS

SERVER = os.environ.get("PROTO_SERVER")
GREETING = "Hello from Simple protocol server! Please send a message or '!' to disconnect the client!"


def request(identity: bytes, text: str) -> bytes:
    data = text.encode()
    return struct.pack("<IIII", 40 + len(data), 8, 28, 1) + identity + struct.pack("<II", 28, len(data)) + data


def disconnect(identity: bytes) -> bytes:
    return struct.pack("<IIII", 32, 8, 24, 5) + identity


async def receive(reader: asyncio.StreamReader) -> tuple:
    async def one():
        size = await reader.readexactly(4)
        body = await reader.readexactly(struct.unpack("<I", size)[0] - 4)
        offset, _struct_size, kind = struct.unpack_from("<III", body)
        assert offset == 8, offset
        if kind == 2:
            return kind, body[12:28], *struct.unpack_from("<II", body, 28)
        at = struct.unpack_from("<I", body, 28 if kind == 3 else 12)[0] + 4
        length = struct.unpack_from("<I", body, at)[0]
        text = body[at + 4 : at + 4 + length].decode()
        return (kind, body[12:28], text) if kind == 3 else (kind, text)

    return await asyncio.wait_for(one(), GUARD_SECONDS)


@unittest.skipUnless(SERVER, "PROTO_SERVER is not set")
class AgainstTheServer(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(SERVER, "0", stdin=pipe, stdout=pipe)
        while not (line := (await self.process.stdout.readline()).decode()).startswith("Listening on "):
            self.assertNotEqual(line, "", "it ended before it was ready")
        self.port = int(line.rsplit(":", 1)[1])

    async def asyncTearDown(self):
        self.process.kill()
        await self.process.wait()

    async def connect(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.assertEqual(await receive(reader), (4, GREETING))
        return reader, writer

    async def test_requests_are_answered_rejected_and_the_wish_to_disconnect_is_obeyed(self):
        reader, writer = await self.connect()
        one, two = uuid.uuid1().bytes, uuid.uuid1().bytes
        stream = request(one, "test") + request(two, "") + disconnect(one)
        for byte in stream:
            writer.write(bytes([byte]))
            await writer.drain()
        self.assertEqual(await receive(reader), (2, one, 4, 0x0A7A19FB))
        self.assertEqual(await receive(reader), (3, two, "Request message is empty!"))
        self.assertEqual(await asyncio.wait_for(reader.read(), GUARD_SECONDS), b"")
        writer.close()

    async def test_many_requests_in_one_write_are_answered_in_order(self):
        reader, writer = await self.connect()
        ids = [uuid.uuid4().bytes for _ in range(1000)]
        writer.write(b"".join(request(identity, "x" * 32) for identity in ids))
        for identity in ids:
            self.assertEqual((await receive(reader))[1:3], (identity, 32))
        writer.close()

    async def test_what_is_typed_reaches_everybody(self):
        members = [await self.connect() for _ in range(3)]
        self.process.stdin.write("grüße\n".encode())
        for reader, writer in members:
            self.assertEqual(await receive(reader), (4, "(admin) grüße"))
            writer.close()


if __name__ == "__main__":
    unittest.main()
