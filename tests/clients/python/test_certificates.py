"""Certificates of `tidewire certs`, and names in TLS that are none, with OpenSSL (the `ssl` module) at the other end."""

import asyncio
import os
import ssl
import subprocess
import tempfile
import unittest
from pathlib import Path
from urllib.parse import urlsplit

from server import GUARD_SECONDS, Server

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
# As websockets-server-client sends it, and other names that are none; and two that are.
NAMES = ["localhost:8082", "a b", "[localhost]", "localhost", "127.0.0.1"]


class Certificates(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        command = [os.environ["SERVER_BIN"], "certs", "--dir", folder.name, "--passphrase", "secret"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def config(self, *more: str) -> str:
        lines = [f'certificate = "{self.path("server.crt")}"', f'key = "{self.path("server.key")}"', *more]
        return "\n".join(["[server.tls]", "enabled = true", *lines])

    def mutual(self) -> str:
        return self.config(f'client_ca = "{self.path("ca.crt")}"')

    def context(self, version: ssl.TLSVersion, identity: str = "client.crt") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.path("ca.crt"))
        context.minimum_version = context.maximum_version = version
        if identity == "client.crt":
            context.load_cert_chain(self.path("client.crt"), self.path("client.key"))
        elif identity == "client.pem":
            context.load_cert_chain(self.path("client.pem"), password="secret")
        return context

    async def health(self, server: Server, context: ssl.SSLContext, name: str) -> str:
        """The status of a request inside TLS; none, when TLS refuses."""
        url = urlsplit(server.messaging)
        opening = asyncio.open_connection(url.hostname, url.port, ssl=context, server_hostname=name)
        try:
            reader, writer = await asyncio.wait_for(opening, GUARD_SECONDS)
            writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), GUARD_SECONDS)
            writer.close()
        except (ssl.SSLError, ConnectionError):
            return ""
        return answer.split(b"\r\n")[0].decode()

    async def test_both_ends_trust_each_other_and_nobody_else(self):
        async with Server(self.mutual()) as server:
            for version in VERSIONS:
                for identity in ["client.crt", "client.pem"]:
                    status = await self.health(server, self.context(version, identity), "localhost")
                    self.assertEqual(status, "HTTP/1.0 200 OK")
                status = await self.health(server, self.context(version, "none"), "localhost")
                self.assertEqual(status, "")

    async def test_a_name_that_is_none_is_ignored(self):
        for config in [self.mutual(), self.config()]:
            async with Server(config) as server:
                for version in VERSIONS:
                    for name in NAMES:
                        context = self.context(version)
                        context.check_hostname = False
                        status = await self.health(server, context, name)
                        self.assertEqual(status, "HTTP/1.0 200 OK", f"{name} {version}")

    async def test_a_session_with_such_a_name_can_be_resumed(self):
        async with Server(self.config()) as server:
            url = urlsplit(server.messaging)
            for version in ["-tls1_2", "-tls1_3"]:
                session = self.path("session" + version)
                for option in ["-sess_out", "-sess_in"]:
                    command = ["openssl", "s_client", version, "-servername", "localhost:8082", "-ign_eof", option, session]
                    command += ["-connect", f"{url.hostname}:{url.port}", "-CAfile", self.path("ca.crt")]
                    request = b"GET /health HTTP/1.0\r\n\r\n"
                    ran = await asyncio.to_thread(
                        subprocess.run, command, input=request, capture_output=True, timeout=GUARD_SECONDS
                    )
                    self.assertIn(b"200 OK", ran.stdout, ran.stderr)
                    self.assertIn(b"Verify return code: 0", ran.stdout)
                self.assertIn(b"Reused, ", ran.stdout, version)


if __name__ == "__main__":
    unittest.main()
