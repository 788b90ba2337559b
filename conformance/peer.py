"""The fuzzing peer: a WebSocket engine that does what a test case tells it.

A case calls methods on `self.p`, here FuzzingProtocol, and is told what came
back. Payloads cross as octet strings on the case's side and as bytes on the
engine's (octets.py). The engine is autobahn 24.4.2, which brings
permessage-deflate for the cases that ask for it; the cases and their published
verdicts are older, so the few differences are undone here.

FuzzingClient tests a server, FuzzingServer a client.
"""
import json
import time

import txaio
from autobahn.twisted.websocket import (
    WebSocketClientFactory, WebSocketClientProtocol,
    WebSocketServerFactory, WebSocketServerProtocol)
from autobahn.websocket.protocol import WebSocketProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.internet import reactor

from cases.octets import native, octets

# Frames kept per case for the report, and octets shown of each.
FRAMES_KEPT = 200
OCTETS_SHOWN = 32

# Registered after the cases were written; their verdict on a peer that answers
# with one of these is "wrong code".
WebSocketProtocol.CLOSE_STATUS_CODES_ALLOWED = [
    code for code in WebSocketProtocol.CLOSE_STATUS_CODES_ALLOWED if code not in (1012, 1013)]


def case_id(case_class):
    """Case7_1_6 -> "7.1.6"."""
    return case_class.__name__.removeprefix("Case").replace("_", ".")


class ExactTimer:
    """The engine rounds its timers to 0.2 s; the cases measure more finely."""

    @staticmethod
    def call_later(delay, call, *args, **kwargs):
        return txaio.call_later(delay, call, *args, **kwargs)


class FuzzingProtocol:
    """Stands left of the engine's protocol class and in front of one case, if any."""

    def __init__(self):
        super().__init__()
        self.run = None
        self.connectionWasOpen = False
        self.createWirelog = True
        self.txFrameStats = {}
        self.frames = []
        self.started = self.opened = time.monotonic()

    def begin(self, case_class):
        """From now on the connection belongs to this case."""
        self.run = case_class(self)  # may set options of this connection

    # from the engine

    def connectionMade(self):
        super().connectionMade()
        # The engine tries this before it has copied the option here.
        self.transport.setTcpNoDelay(True)

    def onOpen(self):
        self.connectionWasOpen = True
        if self.run:
            self.opened = time.monotonic()
            self.run.onOpen()

    def onMessage(self, payload, isBinary):
        if self.run:
            self.run.onMessage(native(payload), isBinary)

    def onPong(self, payload):
        if self.run:
            self.run.onPong(native(payload))

    def onClose(self, wasClean, code, reason):
        if self.run:
            self.run.onClose(wasClean, code, reason)

    def onCloseFrame(self, code, reasonRaw):
        done = super().onCloseFrame(code, reasonRaw)
        # The verdict needs the code that was on the wire, valid or not.
        self.remoteCloseCode = code
        return done

    def connectionLost(self, reason):
        super().connectionLost(reason)
        if self.run:
            self.run.onConnectionLost(self.failedByMe)
            self.factory.done(self.result())

    def logRxFrame(self, frameHeader, payload):
        if self.createWirelog:
            self._log("received", frameHeader, b"".join(payload))

    def logTxFrame(self, frameHeader, payload, repeatLength, chopsize, sync):
        sent = self.txFrameStats
        sent[frameHeader.opcode] = sent.get(frameHeader.opcode, 0) + 1
        if self.createWirelog:
            self._log("sent", frameHeader, payload)

    def _log(self, direction, header, payload):
        if len(self.frames) < FRAMES_KEPT:
            self.frames.append("%s opcode=%d fin=%d rsv=%d length=%d %s" % (
                direction, header.opcode, header.fin, header.rsv, header.length,
                payload[:OCTETS_SHOWN].hex()))

    # from the case

    def enableWirelog(self, enable):
        self.createWirelog = enable

    def continueLater(self, delay, call, tag=None):
        reactor.callLater(delay, self._unless_closed, call)

    def closeAfter(self, delay):
        reactor.callLater(delay, self._unless_closed, self.sendClose)

    def killAfter(self, delay):
        reactor.callLater(delay, self._unless_closed, self._fail_connection)

    def _unless_closed(self, call):
        if self.state != self.STATE_CLOSED:
            call()

    def sendFrame(self, opcode, payload=b"", **options):
        super().sendFrame(opcode, octets(payload), **options)

    def sendMessage(self, payload, isBinary=False, **options):
        if self.state == self.STATE_OPEN:  # else the engine raises; the cases count on silence
            super().sendMessage(octets(payload), isBinary, **options)

    def sendMessageFrameData(self, payload, sync=False):
        return super().sendMessageFrameData(octets(payload), sync=sync)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code=code, reasonUtf8=octets(reasonUtf8), isReply=isReply)

    def result(self):
        """What the report says about this case."""
        case = self.run
        now = time.monotonic()
        report = {"case": case_id(type(case)),
                  "behavior": case.behavior, "behaviorClose": case.behaviorClose,
                  "remoteCloseCode": self.remoteCloseCode,
                  "milliseconds": round(1000 * (now - self.started))}
        # A case closes when it has waited long enough; what comes only then can still be OK.
        if now - self.opened >= getattr(case, "WAITSECS", float("inf")):
            report["overdue"] = case.WAITSECS
        if (case.behavior, case.behaviorClose) != (case.OK, case.OK):
            extension = self._perMessageCompress
            report.update(result=case.result, resultClose=case.resultClose, frames=self.frames,
                          compression=extension and extension.__json__())
        return report


class FuzzingClient(FuzzingProtocol, WebSocketClientProtocol):
    """Tests a server, in one case."""


class FuzzingClientFactory(WebSocketClientFactory):
    """One connection for one case; calls `done(result)` at its end.

    Without a connection it calls `refused(reason)`.
    """

    def __init__(self, url, case_class, done, refused):
        super().__init__(url, useragent="tidewire-conformance")
        self.case_class = case_class
        self.done = done
        self.refused = refused
        configure(self)

    def buildProtocol(self, addr):
        peer = FuzzingClient()
        peer.factory = self
        peer.begin(self.case_class)
        return peer

    def clientConnectionFailed(self, connector, reason):
        self.refused(reason.getErrorMessage())


class FuzzingServer(FuzzingProtocol, WebSocketServerProtocol):
    """Tests a client, which asks by the path for what is to happen (conformance/README.md)."""

    def onConnect(self, request):
        self.path = request.path
        if request.path == "/runCase":
            number = int(request.params.get("case", ["0"])[0])
            if not 1 <= number <= len(self.factory.cases):
                raise ConnectionDeny(ConnectionDeny.NOT_FOUND, "no such case")
            self.factory.open_cases += 1
            self.begin(self.factory.cases[number - 1])
        elif request.path not in ("/getCaseCount", "/updateReports"):
            raise ConnectionDeny(ConnectionDeny.NOT_FOUND, "no such path")

    def onOpen(self):
        super().onOpen()
        if self.path == "/getCaseCount":
            self.sendMessage(json.dumps(len(self.factory.cases)))
        if not self.run:
            self.sendClose()


class FuzzingServerFactory(WebSocketServerFactory):
    """Runs the case a client asks for by number; calls `done(result)` at the end of each."""

    def __init__(self, cases, done):
        super().__init__(server="tidewire-conformance")
        self.protocol = FuzzingServer
        self.cases = cases
        self.open_cases = 0
        self.report = done
        configure(self)

    def done(self, result):
        self.open_cases -= 1
        self.report(result)


def configure(factory):
    """What both roles need of the engine."""
    factory.logFrames = True
    factory._batched_timer = ExactTimer()
    # Answer a violation with a close frame, as RFC 6455 section 7.1.7 asks.
    factory.setProtocolOptions(failByDrop=False)
