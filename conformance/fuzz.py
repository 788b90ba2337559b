"""Run the converted Autobahn cases against a peer and write down the verdicts.

usage: fuzz.py server --suite DIR --cases 1,2,7.1.6 --url ws://... --out FILE

`server` tests a server: one connection per case, one after the other. FILE gets
the selected case ids and, per case that ran, its verdict; it is written also
when the run ends early. The run ends with its standard input, so it cannot
outlive whoever started it.
"""
import argparse
import json
import sys

import txaio

txaio.use_twisted()

from twisted.internet import protocol, reactor, stdio  # noqa: E402


def case_id(case_class):
    """Case7_1_6 -> "7.1.6"."""
    return case_class.__name__.removeprefix("Case").replace("_", ".")


def select(all_cases, prefixes):
    """The cases whose dotted id begins with one of the prefixes, in order of number."""
    chosen = [c for c in all_cases
              if any((case_id(c) + ".").startswith(p + ".") for p in prefixes)]
    return sorted(chosen, key=lambda c: [int(part) for part in case_id(c).split(".")])


class Run:
    """All selected cases against one server."""

    def __init__(self, url, cases, out):
        self.url = url
        self.cases = cases
        self.out = out
        self.results = {}
        self.stopped = None

    def start(self):
        reactor.addSystemEventTrigger("before", "shutdown", self.write)
        self.next(iter(self.cases))

    def next(self, remaining):
        from autobahn.twisted.websocket import connectWS
        from peer import ClientFactory

        case_class = next(remaining, None)
        if case_class is None:
            reactor.stop()
            return

        def done(peer):
            if peer is None:
                self.stop(f"no connection for case {case_id(case_class)}")
            else:
                self.results[case_id(case_class)] = peer.result()
                # Not from within the callback: the engine still tidies up there.
                reactor.callLater(0, self.next, remaining)

        connectWS(ClientFactory(self.url, case_class, done))

    def stop(self, reason):
        self.stopped = reason
        if reactor.running:
            reactor.stop()

    def write(self):
        report = {"selected": [case_id(c) for c in self.cases],
                  "stopped": self.stopped, "results": self.results}
        with open(self.out, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)


class Parent(protocol.Protocol):
    """Standard input: says only, by its end, that the parent has gone."""

    def __init__(self, run):
        self.run = run

    def connectionLost(self, reason=None):
        self.run.stop("standard input ended")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["server"])
    parser.add_argument("--suite", required=True, help="where convert.py put the cases")
    parser.add_argument("--cases", required=True, help="comma list of groups or cases")
    parser.add_argument("--url", required=True, help="echo endpoint of the server under test")
    parser.add_argument("--out", required=True, help="JSON report to write")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for the whole run")
    args = parser.parse_args()

    sys.path.insert(0, args.suite)
    from cases import Cases
    txaio.start_logging(out=sys.stderr, level="error")

    run = Run(args.url, select(Cases, args.cases.split(",")), args.out)
    reactor.callLater(args.limit, run.stop, f"limit of {args.limit:.0f} s reached")
    stdio.StandardIO(Parent(run))
    reactor.callWhenRunning(run.start)
    reactor.run()


if __name__ == "__main__":
    main()
