"""Payload to event, and result to payload: JSON as RFC 8259 has it, and what a handler really returned.

The scanner and the encoder of the json module do the work, both in C. What they let pass is found here: NaN is no JSON,
and {1: 'a', '1': 'b'} would become an object with one key twice. internal/functiontest/payloads.json has the cases.
"""
from __future__ import absolute_import

import re
from json import encoder, scanner

from .own import BUILTINS, decode, encode, surrogate, text_type

globals().update(BUILTINS)

_BLANKS = u' \t\n\r'
_DEPTH_MAX = 500  # levels of arrays and objects, in a payload and in a result
_DIGITS_MAX = 4300  # of an integer; the limit that Python has had since 3.11
_INTEGERS = (int, type(1 << 64))  # int and long in Python 2
_TEXTS = (str, text_type)
_LEAVES = frozenset(_TEXTS + _INTEGERS + (float, bool, type(None)))
_NAMES = frozenset(_TEXTS if str is not bytes else (text_type,))  # types of keys of which no two have one JSON text

# Only numbers with these digits can be too large for a float, or too long for an integer.
_large = re.compile(br'[eE]\+?[0-9]{3}|[0-9]{200}').search


def _constant(name):
    raise ValueError('%s is not JSON' % name)


def _float(text):
    number = float(text)
    if number in (_INFINITE, -_INFINITE):
        raise ValueError('a number that is too large')
    return number


def _integer(text):
    if len(text) - text.startswith('-') > _DIGITS_MAX:
        raise ValueError('a number that is too long')
    return int(text)


_INFINITE = float('inf')


class _Settings(object):
    strict, object_hook, object_pairs_hook, encoding, memo = True, None, None, 'utf-8', {}
    parse_float, parse_int, parse_constant = float, int, staticmethod(_constant)


class _Careful(_Settings):
    parse_float, parse_int = staticmethod(_float), staticmethod(_integer)


_scan, _scan_careful = (scanner.c_make_scanner(s()) for s in (_Settings, _Careful))


def event(payload):
    """The event of a payload: {} for an empty one, the value of JSON text, else the bytes."""
    if not payload:
        return {}
    try:
        text = decode(payload).strip(_BLANKS)
        if surrogate is not None and surrogate(payload):
            return payload
        value, end = (_scan_careful if _large(payload) else _scan)(text, 0)
        if end != len(text):
            return payload
        if payload.count(b'[') + payload.count(b'{') > _DEPTH_MAX:
            _check(value, 0)
    except Exception:  # not UTF-8, not JSON, nested deeper than the interpreter can go
        return payload
    return value


def payload(result):
    """The payload of a result: b'' for None, bytes as they are, else JSON text. Raises what says why it is not JSON."""
    if result is None:
        return b''
    if isinstance(result, bytes):
        return result
    _check(result, 0)
    try:
        return encode(u''.join(_encode(result, 0)))
    except (_Strange, TypeError, ValueError) as e:
        error = e
    _explain(result, 'result')
    raise error


class _Strange(Exception):
    pass


def _default(_):
    raise _Strange()


_encode = encoder.c_make_encoder(
    None, _default, encoder.encode_basestring_ascii, None, ': ', ', ', False, False, False)


def _check(value, depth):
    """Raises for what the encoder would pass: two keys with one text, and nesting without end."""
    if isinstance(value, dict):
        if not _NAMES.issuperset(map(type, value)):
            _check_keys(value)
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return
    if depth >= _DEPTH_MAX:
        raise ValueError('result is nested deeper than %d levels, or contains itself' % _DEPTH_MAX)
    if _LEAVES.issuperset(map(type, value)):
        return
    for below in value:
        if type(below) not in _LEAVES:
            _check(below, depth + 1)


def _check_keys(value):
    seen = {}
    for key in value:
        name = _name(key)
        if name in seen:
            raise TypeError('result: the keys %s and %s are both %s in JSON' % (
                _shown(seen[name]), _shown(key), ''.join(_encode(name, 0))))
        seen[name] = key


def _name(key):
    """The text that JSON has for a key. Raises TypeError."""
    if isinstance(key, text_type):
        return key[:]
    if str is bytes and isinstance(key, bytes):
        return decode(key)
    if key is None or isinstance(key, (bool, float) + _INTEGERS):
        return text_type('').join(_encode(key, 0))
    raise TypeError('result: a key is of type %s, which is not JSON' % type(key).__name__)


def _shown(key):
    text = repr(key)
    return '%s (%s)' % (text if len(text) <= 40 else text[:40] + '...', type(key).__name__)


def _explain(value, path):
    """Raises what says where the value that is not JSON is."""
    if isinstance(value, float) and (value != value or value in (_INFINITE, -_INFINITE)):
        raise ValueError('%s: %r is not JSON' % (path, float(value)))
    if isinstance(value, (dict, list, tuple)):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict):
                _explain(key, path + ': a key')
            _explain(below, '%s[%s]' % (path, repr(key)[:40]) if len(path) < 200 else path)
    elif not isinstance(value, _TEXTS + _INTEGERS + (float, type(None))):
        raise TypeError('%s: %s is not JSON' % (path, type(value).__name__))
