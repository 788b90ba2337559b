"""Run the converted Autobahn cases against a peer and tell the verdicts.

usage: fuzz.py list   --suite DIR --cases 1,2,7.1.6
       fuzz.py server --suite DIR --url ws://...
       fuzz.py client --suite DIR --cases 7.1.6,1.1.1 [--certificate PEM --key PEM]

`list` prints the ids of the cases that are meant, in the order in which they
should be run. `server` tests a server: it reads the id of a case from standard
input, runs it, writes its result as a line of JSON, and so on. `client` tests a
client: its first line is `{"listening": URL}`; the client asks there for the
cases by their number in --cases, each result is a line.

It ends with its standard input, so it cannot outlive whoever started it.
"""
import argparse
import json
import sys
import warnings

import txaio

txaio.use_twisted()
# Nobody's identity is verified here.
warnings.filterwarnings("ignore", message=".*service_identity.*")

from twisted.internet import interfaces, reactor, ssl, stdio  # noqa: E402
from twisted.protocols.basic import LineOnlyReceiver  # noqa: E402
from zope.interface import implementer  # noqa: E402

# After the end of input: how long the last cases may take to see their peer's end.
LAST_CASES_SECONDS = 5


def cases_by_id():
    from cases import Cases
    from peer import case_id
    return {case_id(case): case for case in Cases}


def select(known, prefixes):
    """The ids that begin with one of the prefixes, in the order in which to run them.

    In order of number, but those with a known volume at the end, the largest
    first: so several processes that take one after the other end together.
    """
    def order(case):
        volume = getattr(known[case], "LEN", 0) * getattr(known[case], "COUNT", 0)
        return volume > 0, -volume, [int(part) for part in case.split(".")]

    chosen = [case for case in known if any((case + ".").startswith(p + ".") for p in prefixes)]
    return sorted(chosen, key=order)


class Parent(LineOnlyReceiver):
    """Standard input and output: whoever started this process."""

    delimiter = b"\n"

    def tell(self, value):
        self.sendLine(json.dumps(value).encode())

    def connectionLost(self, reason=None):
        stop()


class ServerTest(Parent):
    """Runs the cases that the parent names against the server at `url`."""

    def __init__(self, known, url):
        self.known = known
        self.url = url

    def lineReceived(self, line):
        from autobahn.twisted.websocket import connectWS
        from peer import FuzzingClientFactory

        case = line.decode().strip()

        def refused(reason):
            self.tell({"case": case, "refused": reason})

        context = ssl.ClientContextFactory() if self.url.startswith("wss:") else None
        # Not from within the engine's callback: it still tidies up there.
        factory = FuzzingClientFactory(
            self.url, self.known[case], lambda result: reactor.callLater(0, self.tell, result), refused)
        connectWS(factory, context)


@implementer(interfaces.IHalfCloseableProtocol)
class ClientTest(Parent):
    """Listens and tests the client that comes, in the cases it asks for."""

    def __init__(self, cases, certificate, key):
        self.cases = cases
        self.certificate = certificate
        self.key = key

    def connectionMade(self):
        from peer import FuzzingServerFactory

        self.factory = FuzzingServerFactory(self.cases, self.tell)
        if self.certificate:
            context = ssl.DefaultOpenSSLContextFactory(self.key, self.certificate)
            port = reactor.listenSSL(0, self.factory, context, interface="127.0.0.1")
        else:
            port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        scheme = "wss" if self.certificate else "ws"
        self.tell({"listening": f"{scheme}://127.0.0.1:{port.getHost().port}"})

    def lineReceived(self, line):
        """The end of input is all that is listened for."""

    def writeConnectionLost(self):
        stop()

    def readConnectionLost(self):
        reactor.callLater(LAST_CASES_SECONDS, stop)
        self.stop_when_idle()

    def stop_when_idle(self):
        if self.factory.open_cases == 0:
            self.transport.loseConnection()
        else:
            reactor.callLater(0.05, self.stop_when_idle)


def stop():
    if reactor.running:
        reactor.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["list", "server", "client"])
    parser.add_argument("--suite", required=True, help="where convert.py put the cases")
    parser.add_argument("--cases", help="list: groups or cases; client: cases; comma list")
    parser.add_argument("--url", help="server: echo endpoint of the server under test")
    parser.add_argument("--certificate", help="client: listen with TLS and this certificate")
    parser.add_argument("--key", help="client: the certificate's private key")
    args = parser.parse_args()

    sys.path.insert(0, args.suite)
    known = cases_by_id()
    if args.task == "list":
        print("\n".join(select(known, args.cases.split(","))))
        return
    txaio.start_logging(out=sys.stderr, level="error")
    if args.task == "server":
        parent = ServerTest(known, args.url)
    else:
        parent = ClientTest([known[case] for case in args.cases.split(",")], args.certificate, args.key)
    stdio.StandardIO(parent)
    reactor.run()


if __name__ == "__main__":
    main()
