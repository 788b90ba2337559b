"""Octet strings of the converted cases, and the library calls that take them.

A case holds payloads as `str` in which every character is one octet (U+0000 to
U+00FF). The engine wants bytes. `octets` and `native` go from one to the other;
the two classes stand in for library names the cases import.
"""
import binascii as _binascii

from autobahn.websocket.utf8validator import Utf8Validator as _Utf8Validator


def octets(value):
    """The bytes of an octet string; bytes and None stay as they are."""
    return value.encode("latin-1") if isinstance(value, str) else value


def native(value):
    """The octet string of some bytes; anything else stays as it is."""
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, bytearray)) else value


class binascii:
    """Hexadecimal digits as text, as Python 2 gave them."""

    @staticmethod
    def b2a_hex(value):
        return _binascii.b2a_hex(octets(value)).decode("ascii")

    hexlify = b2a_hex


class Utf8Validator(_Utf8Validator):
    """Takes octet strings too: the cases make some payloads with it."""

    def validate(self, data):
        return super().validate(octets(data))
