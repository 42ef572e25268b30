"""FunctionMessage of protocol/function/function.proto as bytes, and back.

The message has seven fields. Code for them alone is quick, and needs neither the memory nor the 20 ms of a start that
protobuf takes. protocol/function/testdata/pipe.json has messages with their meaning.

    bytes --decode--> Message --answer(payload)--> bytes: those that came, with another payload
"""
from __future__ import absolute_import

from .own import BUILTINS, decode as decode_text, surrogate

globals().update(BUILTINS)

_MASK = (1 << 64) - 1
_DEPTH_MAX = 100  # of groups, as in protobuf


class Invalid(Exception):
    """The bytes are no FunctionMessage. One line."""


class Message(object):
    """A FunctionMessage. Absent fields have their defaults."""

    __slots__ = ('ID', 'QOS', 'Topic', 'Payload', 'Timestamp', 'FunctionName', 'FunctionInvokeID', 'others')

    def __init__(self):
        self.ID = self.QOS = self.Timestamp = 0
        self.Topic = self.FunctionName = self.FunctionInvokeID = u''
        self.Payload = b''
        self.others = b''  # the bytes of all but the payload

    def answer(self, payload):
        """The bytes of this message with another payload."""
        if not payload:
            return self.others
        return b''.join((self.others, b'\x22', varint(len(payload)), payload))


def decode(body):
    """Returns the Message. Raises Invalid."""
    m = Message()
    try:
        _decode(m, body, bytearray(body) if str is bytes else body)
    except IndexError:
        raise Invalid('it ends within a field')
    except UnicodeDecodeError:
        raise Invalid('text that is not UTF-8')
    return m


def _decode(m, body, numbers):
    at, end, others, kept = 0, len(body), None, 0
    while at < end:
        begin = at
        tag = numbers[at]
        at += 1
        if tag > 127:
            tag, at = _varint(numbers, begin)
            if not 8 <= tag < 1 << 32:
                raise Invalid('a field without a number')
        kind, field = tag & 7, tag >> 3
        if kind == 2:
            size = numbers[at]
            at += 1
            if size > 127:
                size, at = _varint(numbers, at - 1)
            data, at = body[at:at + size], at + size
            if at > end:
                raise IndexError
            if field == 4:
                m.Payload = data
                others = others or []
                others.append(body[kept:begin])
                kept = at
            elif field == 11:
                m.FunctionName = _text(data)
            elif field == 3:
                m.Topic = _text(data)
            elif field == 12:
                m.FunctionInvokeID = _text(data)
        elif kind == 0:
            value = numbers[at]
            at += 1
            if value > 127:
                value, at = _varint(numbers, at - 1)
            if field == 10:
                m.Timestamp = (value >> 1) ^ -(value & 1)
            elif field == 2:
                m.QOS = value & 0xffffffff
            elif field == 1:
                m.ID = value
        else:
            at = _skip(numbers, at, end, kind, field, 0)
        if tag < 8:
            raise Invalid('a field without a number')
    if others:
        others.append(body[kept:])
        m.others = b''.join(others)
    else:
        m.others = body


def _text(data):
    text = decode_text(data)
    if surrogate is not None and surrogate(data):
        raise Invalid('text that is not UTF-8')
    return text


def _varint(numbers, at):
    """The number at this place, and the place after it."""
    value, shift = 0, 0
    while True:
        byte = numbers[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value > _MASK:
                raise Invalid('a number of more than 64 bits')
            return value, at
        shift += 7
        if shift > 63:
            raise Invalid('a number of more than 64 bits')


def _skip(numbers, at, end, kind, field, depth):
    """The place after an unknown value: 8 bytes, a group, 4 bytes."""
    if kind == 1 or kind == 5:
        at += 8 if kind == 1 else 4
        if at > end:
            raise IndexError
        return at
    if kind != 3 or depth > _DEPTH_MAX:
        raise Invalid('a field of no kind')
    while True:
        tag, at = _varint(numbers, at)
        if tag < 8:
            raise Invalid('a field without a number')
        kind = tag & 7
        if kind == 4:
            if tag >> 3 != field:
                raise Invalid('a group that ends as another one')
            return at
        if kind == 0:
            _, at = _varint(numbers, at)
        elif kind == 2:
            size, at = _varint(numbers, at)
            at += size
            if at > end:
                raise IndexError
        else:
            at = _skip(numbers, at, end, kind, tag >> 3, depth + 1)


def varint(value):
    """The bytes of a number."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
