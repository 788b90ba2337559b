"""The fuzzing peer: a WebSocket engine that does what a test case tells it.

A case calls methods on `self.p`, here FuzzingProtocol, and is told what came
back. Payloads cross as octet strings on the case's side and as bytes on the
engine's (octets.py). The engine is autobahn 24.4.2; the cases and their
published verdicts are older, so the few differences are undone here.
"""
import time

import txaio
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet import reactor

from cases.octets import native, octets

# Frames kept per case for the report, and octets shown of each.
FRAMES_KEPT = 200
OCTETS_SHOWN = 32

# Registered after the cases were written; their verdict on a peer that answers
# with one of these is "wrong code".
WebSocketProtocol.CLOSE_STATUS_CODES_ALLOWED = [
    code for code in WebSocketProtocol.CLOSE_STATUS_CODES_ALLOWED if code not in (1012, 1013)]


class ExactTimer:
    """The engine rounds its timers to 0.2 s; the cases measure more finely."""

    @staticmethod
    def call_later(delay, call, *args, **kwargs):
        return txaio.call_later(delay, call, *args, **kwargs)


class FuzzingProtocol:
    """Stands left of the engine's protocol class and in front of one case."""

    def __init__(self, factory, case_class):
        super().__init__()
        self.factory = factory
        self.connectionWasOpen = False
        self.createWirelog = True
        self.txFrameStats = {}
        self.frames = []
        self.started = time.monotonic()
        self.run = case_class(self)  # may set options of this connection

    # from the engine

    def connectionMade(self):
        super().connectionMade()
        # The engine tries this before it has copied the option here.
        self.transport.setTcpNoDelay(True)

    def onOpen(self):
        self.connectionWasOpen = True
        self.run.onOpen()

    def onMessage(self, payload, isBinary):
        self.run.onMessage(native(payload), isBinary)

    def onPong(self, payload):
        self.run.onPong(native(payload))

    def onClose(self, wasClean, code, reason):
        self.run.onClose(wasClean, code, reason)

    def onCloseFrame(self, code, reasonRaw):
        done = super().onCloseFrame(code, reasonRaw)
        # The verdict needs the code that was on the wire, valid or not.
        self.remoteCloseCode = code
        return done

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.run.onConnectionLost(self.failedByMe)
        self.factory.finished(self)

    def logRxFrame(self, frameHeader, payload):
        self._log("received", frameHeader, b"".join(payload))

    def logTxFrame(self, frameHeader, payload, repeatLength, chopsize, sync):
        sent = self.txFrameStats
        sent[frameHeader.opcode] = sent.get(frameHeader.opcode, 0) + 1
        self._log("sent", frameHeader, payload)

    def _log(self, direction, header, payload):
        if self.createWirelog and len(self.frames) < FRAMES_KEPT:
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
        report = {"behavior": case.behavior, "behaviorClose": case.behaviorClose,
                  "remoteCloseCode": self.remoteCloseCode,
                  "milliseconds": round(1000 * (time.monotonic() - self.started))}
        if (case.behavior, case.behaviorClose) != (case.OK, case.OK):
            report.update(result=case.result, resultClose=case.resultClose, frames=self.frames)
        return report


class ClientUnderCase(FuzzingProtocol, WebSocketClientProtocol):
    """The fuzzing client: tests a server."""


class ClientFactory(WebSocketClientFactory):
    """One connection for one case; calls `done(protocol or None)` at its end."""

    def __init__(self, url, case_class, done):
        super().__init__(url, useragent="tidewire-conformance")
        self.case_class = case_class
        self.done = done
        self.logFrames = True
        self._batched_timer = ExactTimer()
        # Answer a violation with a close frame, as RFC 6455 section 7.1.7 asks.
        self.setProtocolOptions(failByDrop=False)

    def buildProtocol(self, addr):
        return ClientUnderCase(self, self.case_class)

    def finished(self, protocol):
        self.done(protocol)

    def clientConnectionFailed(self, connector, reason):
        self.done(None)
