"""Compares what the core saw with what wsproto sees on the same streams.

Usage: compare.py PROGRAM CASES SEED

PROGRAM is the Rust half (src/main.rs): it prints a line per case, `RECEIVER STREAM EVENTS END`,
and compares with tungstenite itself. The differences that are known stand in differences.md.
"""

import collections
import pathlib
import subprocess
import sys

from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

PRINTED_PER_KIND = 3


def to_hex(data):
    return data.hex() or "-"


def transcript(receiver, stream):
    """Events and end (`more`, `close` or `reject`), as the Rust half writes them."""
    protocol = FrameProtocol(client=receiver == "client", extensions=[])
    protocol.receive_bytes(stream)
    events = []
    kind, parts = None, b""
    try:
        for frame in protocol.received_frames():
            if frame.opcode is Opcode.CLOSE:
                code, reason = frame.payload
                if code == 1005:
                    events.append("close:-:-")
                else:
                    events.append(f"close:{int(code)}:{to_hex((reason or '').encode())}")
                return events, "close"
            if frame.opcode is Opcode.PING:
                events.append(f"ping:{to_hex(frame.payload)}")
            elif frame.opcode is Opcode.PONG:
                events.append(f"pong:{to_hex(frame.payload)}")
            else:
                text = isinstance(frame.payload, str)
                kind = "text" if text else "binary"
                parts += frame.payload.encode() if text else frame.payload
                if frame.message_finished:
                    events.append(f"{kind}:{to_hex(parts)}")
                    parts = b""
    except ParseFailed as error:
        return events, f"reject:{str(error).replace(' ', '_')}"
    return events, "more"


def difference(ours, ours_end, theirs, theirs_end):
    """As `Transcript::difference` in src/transcript.rs."""
    name = ours_end.removeprefix("reject:")
    for mine, other in zip(ours, theirs):
        if mine != other:
            words = mine.split(":")
            if words[0] == "close":
                return f"close {words[1]}: other events"
            return f"{name}: other events"
    ours_rejects = ours_end.startswith("reject:")
    theirs_rejects = theirs_end.startswith("reject:")
    if len(theirs) < len(ours):
        words = ours[len(theirs)].split(":")
        if theirs_rejects and words[0] == "close":
            return f"close {words[1]}: rejects"
        return f"{name}: rejects earlier" if theirs_rejects else f"{name}: sees less"
    more = len(theirs) > len(ours)
    if ours_rejects:
        if not more and theirs_rejects:
            return None
        return f"{name}: waits" if not more and theirs_end == "more" else f"{name}: accepts"
    if more:
        return f"{name}: sees more"
    if theirs_rejects:
        return f"{name}: rejects"
    return None if ours_end == theirs_end else f"{name}: other end"


def known_differences(implementation):
    table = pathlib.Path(__file__).with_name("differences.md").read_text(encoding="utf-8")
    known = set()
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[1] == implementation:
            known.add(cells[2])
    return known


def main():
    program, cases, seed = sys.argv[1:]
    known = known_differences("wsproto")
    found = collections.Counter()
    count = 0
    with subprocess.Popen([program, cases, seed], stdout=subprocess.PIPE, text=True) as core:
        for line in core.stdout:
            receiver, stream, events, ours_end = line.split()
            ours = [] if events == "-" else events.split(",")
            data = b"" if stream == "-" else bytes.fromhex(stream)
            theirs, theirs_end = transcript(receiver, data)
            count += 1
            kind = difference(ours, ours_end, theirs, theirs_end)
            if kind is None:
                continue
            found[kind] += 1
            if kind not in known and found[kind] <= PRINTED_PER_KIND:
                print(f"wsproto, case {count - 1} of seed {seed}: {kind}\n  {receiver} {stream}")
                print(f"  ours   {events} {ours_end}\n  theirs {','.join(theirs) or '-'} {theirs_end}")
    unexplained = sum(number for kind, number in found.items() if kind not in known)
    print(f"wsproto: {count} cases, {unexplained} unexplained differences")
    for kind, number in sorted(found.items()):
        print(f"  {number:>7} {kind} ({'known' if kind in known else 'UNEXPLAINED'})")
    if count != int(cases):
        print(f"expected {cases} cases, {count} came")
    return int(unexplained > 0 or count != int(cases) or core.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
