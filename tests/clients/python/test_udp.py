"""The library's UDP example programs, with sockets of Python, socat, and tcpdump.

`UDP_ECHO_SERVER`, `UDP_ECHO_CLIENT`, `UDP_MULTICAST_SERVER` and `UDP_MULTICAST_CLIENT` name the binaries. Loopback interfaces carry
no groups of IPv6: these tests run in a network namespace with a pair of interfaces of its own; where there may be no
namespaces, by an interface of the machine that has a route for groups.
"""

import asyncio
import os
import re
import socket
import struct
import subprocess
import sys
import unittest

from server import GUARD_SECONDS

ECHO_SERVER = os.environ.get("UDP_ECHO_SERVER")
ECHO_CLIENT = os.environ.get("UDP_ECHO_CLIENT")
MULTICAST_SERVER = os.environ.get("UDP_MULTICAST_SERVER")
MULTICAST_CLIENT = os.environ.get("UDP_MULTICAST_CLIENT")
INTERFACE = os.environ.get("UDP_TEST_INTERFACE", "lo")
PROMPT = "Press Enter to stop"


class Example:
    """`async with Example(ECHO_SERVER, "0") as server`: running, and its prompt has been printed."""

    def __init__(self, *command: str):
        self.command = command
        self.seen = []

    async def __aenter__(self) -> "Example":
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*self.command, stdin=pipe, stdout=pipe)
        await self.until(PROMPT)
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
            self.seen.append(line.decode())
            if part in self.seen[-1]:
                return self.seen[-1].rstrip("\n")

    def type(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n".encode())

    async def stop(self) -> None:
        """An empty line ends it."""
        self.type("")
        await self.until("Done!")
        assert await asyncio.wait_for(self.process.wait(), GUARD_SECONDS) == 0


async def echo_server() -> tuple[Example, int]:
    example = Example(ECHO_SERVER, "0")
    await example.__aenter__()
    port = next(int(found[1]) for line in example.seen if (found := re.search(r"Listening on .*:(\d+)", line)))
    return example, port


def udp(family=socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(GUARD_SECONDS)
    return sock


async def receive(sock: socket.socket):
    return await asyncio.to_thread(sock.recvfrom, 1 << 16)


def member(group: str, source: str | None = None) -> socket.socket:
    """A member of a group on the interface, at a port of its own."""
    index = socket.if_nametoindex(INTERFACE)
    if ":" in group:
        sock = udp(socket.AF_INET6)
        sock.bind(("::", 0))
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        return sock
    sock = udp()
    sock.bind(("0.0.0.0", 0))
    if source is None:
        request = socket.inet_aton(group) + socket.inet_aton("0.0.0.0") + struct.pack("@i", index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    else:
        request = socket.inet_aton(group) + socket.inet_aton("127.0.0.1") + socket.inet_aton(source)
        sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_ADD_SOURCE_MEMBERSHIP", 39), request)
    return sock


def sender(group: str) -> socket.socket:
    index = socket.if_nametoindex(INTERFACE)
    if ":" in group:
        sock = udp(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    else:
        sock = udp()
        request = socket.inet_aton("0.0.0.0") * 2 + struct.pack("@i", index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    return sock


def free_port() -> int:
    with udp() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@unittest.skipUnless(ECHO_SERVER and ECHO_CLIENT, "UDP_ECHO_SERVER and UDP_ECHO_CLIENT are not set")
class Echo(unittest.IsolatedAsyncioTestCase):
    async def test_a_socket_of_python_gets_back_what_it_sends(self):
        server, port = await echo_server()
        with udp() as sock:
            sock.connect(("127.0.0.1", port))
            for payload in [b"hello", b"", "κόσμε 潮 😀".encode(), os.urandom(1472), os.urandom(65507)]:
                sock.send(payload)
                self.assertEqual((await receive(sock))[0], payload)
        # From the address that was asked, not from the one that is nearest.
        with udp() as sock:
            sock.sendto(b"who answers?", ("127.0.0.9", port))
            self.assertEqual(await receive(sock), (b"who answers?", ("127.0.0.9", port)))
        await server.until("Incoming: hello")
        await server.stop()

    async def test_the_server_restarts_on_its_port_and_outlives_who_does_not_listen(self):
        server, port = await echo_server()
        for _ in range(3):
            with udp() as gone:
                gone.sendto(b"and gone", ("127.0.0.1", port))
            server.type("!")
            await server.until("Done!")
            with udp() as sock:
                sock.connect(("127.0.0.1", port))
                sock.send(b"again")
                self.assertEqual((await receive(sock))[0], b"again")
        await server.stop()

    async def test_socat_talks_to_the_server(self):
        server, port = await echo_server()
        pipe = asyncio.subprocess.PIPE
        socat = await asyncio.create_subprocess_exec(
            "socat", "-", f"UDP4:127.0.0.1:{port}", stdin=pipe, stdout=pipe
        )
        socat.stdin.write(b"from socat\n")
        line = await asyncio.wait_for(socat.stdout.readline(), GUARD_SECONDS)
        self.assertEqual(line, b"from socat\n")
        socat.kill()
        await socat.wait()
        await server.stop()

    async def test_the_client_talks_to_socat_and_says_when_nobody_listens(self):
        port = free_port()
        async with Example(ECHO_CLIENT, "127.0.0.1", str(port)) as client:
            client.type("anybody?")
            await client.until("did not arrive")
            socat = await asyncio.create_subprocess_exec(
                "socat", f"UDP4-LISTEN:{port},fork", "EXEC:cat", stderr=asyncio.subprocess.DEVNULL
            )
            answered = asyncio.create_task(client.until("Incoming: now?"))
            while not answered.done():  # until socat has bound its port
                client.type("now?")
                await asyncio.wait([answered], timeout=0.1)
            client.type("!")
            await client.until("Done!")
            client.type("and again")
            await client.until("Incoming: and again")
            await client.stop()
            socat.kill()
            await socat.wait()

    async def test_the_client_talks_to_the_server_over_names(self):
        server, port = await echo_server()
        async with Example(ECHO_CLIENT, "localhost", str(port)) as client:
            client.type("hello")
            await server.until("Incoming: hello")
            await client.until("Incoming: hello")
            await client.stop()
        await server.stop()

    async def test_wrong_arguments_are_refused(self):
        for command in [(ECHO_SERVER, "65536"), (ECHO_SERVER, "port"), (ECHO_CLIENT, "127.0.0.1", "")]:
            process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
            _, errors = await asyncio.wait_for(process.communicate(), GUARD_SECONDS)
            self.assertNotEqual(process.returncode, 0)
            self.assertIn(b"port", errors)


class Groups:
    """What holds for groups of both protocols."""

    group: str
    listen: str

    def client(self, port: int) -> Example:
        return Example(MULTICAST_CLIENT, self.listen, self.group, str(port), INTERFACE)

    async def test_members_in_python_get_what_is_typed(self):
        with member(self.group) as sock:
            port = sock.getsockname()[1]
            async with Example(MULTICAST_SERVER, self.group, str(port), INTERFACE) as server:
                server.type("hello")
                self.assertEqual((await receive(sock))[0], b"(admin) hello")
                server.type("!")
                await server.until("Done!")
                server.type("again")
                self.assertEqual((await receive(sock))[0], b"(admin) again")
                await server.stop()

    async def test_clients_get_what_python_sends_while_they_are_members(self):
        port = free_port()
        with sender(self.group) as sock:
            async with self.client(port) as first, self.client(port) as second:
                sock.sendto(b"to both", (self.group, port))
                await first.until("Incoming: to both")
                await second.until("Incoming: to both")
                await first.stop()
                sock.sendto(b"to one", (self.group, port))
                await second.until("Incoming: to one")
                second.type("!")
                await second.until("Done!")
                sock.sendto(b"after coming again", (self.group, port))
                await second.until("Incoming: after coming again")
                await second.stop()

    async def test_our_clients_hear_our_server(self):
        port = free_port()
        async with self.client(port) as first, self.client(port) as second:
            async with Example(MULTICAST_SERVER, self.group, str(port), INTERFACE) as server:
                for number in range(10):
                    server.type(f"number {number}")
                    for client in (first, second):
                        line = await client.until("Incoming")
                        self.assertEqual(line, f"Incoming: (admin) number {number}")
                await server.stop()


@unittest.skipUnless(MULTICAST_SERVER and MULTICAST_CLIENT, "UDP_MULTICAST_SERVER and _CLIENT are not set")
class GroupsOfIpv4(Groups, unittest.IsolatedAsyncioTestCase):
    group = "239.255.0.1"
    listen = "0.0.0.0"

    async def test_a_member_for_one_source_hears_it(self):
        with member("232.1.1.1", "127.0.0.1") as sock:
            port = sock.getsockname()[1]
            async with Example(MULTICAST_SERVER, "232.1.1.1", str(port), "127.0.0.1") as server:
                with sender("232.1.1.1") as other:
                    other.bind(("127.0.0.5", 0))
                    other.sendto(b"unwanted", ("232.1.1.1", port))
                server.type("wanted")
                payload, (source, _) = await receive(sock)
                self.assertEqual((payload, source), (b"(admin) wanted", "127.0.0.1"))
                await server.stop()

    async def test_tcpdump_sees_one_datagram_that_no_router_may_pass_on(self):
        port = free_port()
        pipe = asyncio.subprocess.PIPE
        tcpdump = await asyncio.create_subprocess_exec(
            "tcpdump", "-i", INTERFACE, "-n", "-v", "-l", "-c", "1", f"udp dst port {port}", stdout=pipe, stderr=pipe
        )
        while b"listening on" not in await asyncio.wait_for(tcpdump.stderr.readline(), GUARD_SECONDS):
            pass
        async with Example(MULTICAST_SERVER, self.group, str(port), INTERFACE) as server:
            server.type("seen")
            seen, _ = await asyncio.wait_for(tcpdump.communicate(), GUARD_SECONDS)
            self.assertRegex(seen.decode(), r"ttl 1,")
            self.assertRegex(seen.decode(), rf"127\.0\.0\.1\.\d+ > 239\.255\.0\.1\.{port}: .*UDP, length 12")
            await server.stop()


class GroupsOfIpv6Inside(Groups, unittest.IsolatedAsyncioTestCase):
    """Run by the test below, where there is a way to such groups."""

    group = "ff12::7469:1"
    listen = "::"


@unittest.skipUnless(MULTICAST_SERVER and MULTICAST_CLIENT, "UDP_MULTICAST_SERVER and _CLIENT are not set")
class GroupsOfIpv6(unittest.TestCase):
    def test_in_a_namespace_or_by_an_interface_with_a_route(self):
        inside = [sys.executable, "-m", "unittest", "-v", "test_udp.GroupsOfIpv6Inside"]
        # Without a search for duplicates the addresses can be used at once.
        pair = "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad && ip link add ours type veth peer name theirs"
        pair += " && ip link set ours up && ip link set theirs up"
        probe = subprocess.run(["unshare", "-n", "sh", "-c", pair], capture_output=True, text=True, check=False)
        if probe.returncode == 0:
            command, interface = ["unshare", "-n", "sh", "-c", f'{pair} && exec "$@"', "sh", *inside], "ours"
        else:
            command, interface = inside, self.routed(probe.stderr)
        ran = subprocess.run(
            command,
            env={**os.environ, "UDP_TEST_INTERFACE": interface},
            cwd=os.path.dirname(os.path.abspath(__file__)),
            capture_output=True,
            text=True,
            timeout=10 * GUARD_SECONDS,
            check=False,
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("Ran 3 tests", ran.stderr)

    def routed(self, reason: str) -> str:
        with open("/proc/net/ipv6_route", encoding="ascii") as routes:
            for line in routes:
                if line.startswith("ff" + "0" * 30 + " 08 "):
                    return line.split()[-1]
        self.fail(f"no network namespace ({reason.strip()}), and no interface has a route for groups of IPv6")


def load_tests(loader, tests, _pattern):
    """What runs inside a namespace is no test by itself."""
    kept = unittest.TestSuite()
    for case in tests:
        kept.addTests(test for test in case if not isinstance(test, GroupsOfIpv6Inside))
    return kept


if __name__ == "__main__":
    unittest.main()
