"""Turn the Autobahn test cases (Python 2) into a Python 3 package.

usage: convert.py WHEEL OUTDIR      writes OUTDIR/cases/

Only the cases and their test data are taken; the fuzzing peer around them is
peer.py. The cases are plain code, so a few edits do. Each edit says how often
it must hit over the whole suite: a changed suite stops the conversion instead
of being converted wrongly.

In Python 2 a plain string is a string of octets. The cases keep that model: a
source file is read as latin-1, so each character of a literal is one octet, and
octets.py translates where such strings meet bytes.
"""
import re
import sys
import zipfile
from pathlib import Path

SOURCES = "autobahntestsuite/case/"
TESTDATA = "autobahntestsuite/testdata/"
# Not in the suite's list of cases, and built on an interface Python 3 lacks.
UNUSED = "case9_9_1"

# (pattern, replacement, hits in the whole suite, only in this file)
EDITS = [
    (r"(?m)^# coding=utf-8\n", "", 11, None),
    (r"(?m)^from case9_9_1 import \*\n", "", 1, "__init__.py"),
    (r"(?m)^from (case\w*) import", r"from .\1 import", 284, None),
    (r"\(object, Case, ?\)", "(Case,)", 6, None),
    (r"\bxrange\(", "range(", 11, None),
    (r"(?m)^( +)print (.*)$", r"\1print(\2)", 9, "case6_x_x.py"),
    (r"(?m)^import binascii$", "from .octets import binascii", 13, None),
    (r"from autobahn\.websocket\.utf8validator import", "from .octets import", 1, "case6_x_x.py"),
    (r"len\(self\.payload\) / self", "len(self.payload) // self", 1, "case10_1_1.py"),
    # Equal lists may pickle differently (shared strings), so compare them as lists.
    (r"pickle\.dumps\(obj1\) == pickle\.dumps\(obj2\)", "obj1 == obj2", 1, "case.py"),
    (r"import copy, os, pkg_resources, hashlib, binascii",
     "import copy, os, hashlib\nfrom .octets import binascii, octets", 1, "case12_x_x.py"),
    (r'pkg_resources\.resource_filename\("autobahntestsuite", "testdata/%s" % (.*)\)',
     r'os.path.join(os.path.dirname(__file__), "testdata", \1)', 3, "case12_x_x.py"),
    (r"(def onMessage\(self, msg, binary\):\n)", r"\1   msg = octets(msg)\n", 1, "case12_x_x.py"),
    # The engine has renamed these since.
    (r"\.acceptNoContextTakeover\b", ".accept_no_context_takeover", 3, "case12_x_x.py"),
    (r"\.acceptMaxWindowBits\b", ".accept_max_window_bits", 4, "case12_x_x.py"),
    (r"\brequestNoContextTakeover(?= = )", "request_no_context_takeover", 10, "case12_x_x.py"),
    (r"\brequestMaxWindowBits(?= = )", "request_max_window_bits", 10, "case12_x_x.py"),
    (r"x\.requestNoContextTakeover, x\.requestMaxWindowBits",
     "x.request_no_context_takeover, x.request_max_window_bits", 1, "case12_x_x.py"),
]


def convert(sources):
    """Applies EDITS to {file name: text}; returns the same for Python 3."""
    for pattern, replacement, expected, only in EDITS:
        hits = 0
        for name in sources if only is None else [only]:
            sources[name], count = re.subn(pattern, replacement, sources[name])
            hits += count
        if hits != expected:
            raise SystemExit(f"convert: {pattern!r} hit {hits} times, expected {expected}")
    return sources


def main():
    wheel, outdir = sys.argv[1:]
    cases = Path(outdir) / "cases"
    (cases / "testdata").mkdir(parents=True, exist_ok=True)
    sources = {}
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            name = entry.rsplit("/", 1)[-1]
            if entry.startswith(TESTDATA) and name:
                (cases / "testdata" / name).write_bytes(archive.read(entry))
            elif entry.startswith(SOURCES) and name.endswith(".py") and name != UNUSED + ".py":
                sources[name] = archive.read(entry).decode("latin-1").replace("\r\n", "\n")
    for name, text in convert(sources).items():
        compile(text, name, "exec")
        (cases / name).write_text(text, encoding="utf-8")
    (cases / "octets.py").write_bytes(Path(__file__).with_name("octets.py").read_bytes())
    print(f"converted {len(sources)} files")


if __name__ == "__main__":
    main()
