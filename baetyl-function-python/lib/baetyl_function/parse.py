"""Values of a configuration file: each parser takes what YAML has and returns the value, or raises ValueError."""
from __future__ import absolute_import

import re

_string = type(u'')
_integer = (int, type(1 << 64))  # int and long in Python 2
_MOST = 1 << 63  # bytes and nanoseconds are below it, as in the modules in Go
_SIZE = re.compile(r'^([0-9]+)\s*([kmgt]?)b?$')
NUMBER = re.compile(r'^[0-9]+$')
_DURATION = re.compile(u'([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|\xb5s|\u03bcs|ms|s|m|h)')
_SECONDS = {'ns': 1e-9, 'us': 1e-6, u'\xb5s': 1e-6, u'\u03bcs': 1e-6, 'ms': 1e-3, 's': 1.0, 'm': 60.0, 'h': 3600.0}


def size(value):
    """Bytes of 512, "512", "32k", "4m", "1g"."""
    whole = isinstance(value, _integer) and not isinstance(value, bool) and value >= 0
    text = value.strip().lower() if isinstance(value, (str, _string)) else str(value) if whole else ''
    m = _SIZE.match(text)
    count = int(m.group(1)) << (10 * ' kmgt'.index(m.group(2) or ' ')) if m else _MOST
    if count >= _MOST:
        raise ValueError("invalid size: '%s'; write bytes or a number with k, m or g" % (value,))
    return count


def limit(value):
    """A size that something fits into."""
    count = size(value)
    if count < 1:
        raise ValueError("expected a size of at least 1, found '%s'" % (value,))
    return count


def duration(value):
    """Seconds of "30s", "1m30s", "200ms"; a bare number is nanoseconds."""
    seconds = _span(value)
    if seconds >= _MOST * 1e-9:
        raise ValueError("invalid duration: '%s'; the longest is 292 years" % (value,))
    return seconds


def _span(value):
    if isinstance(value, _integer) and not isinstance(value, bool) and value >= 0:
        return value * 1e-9
    text = value.strip() if isinstance(value, (str, _string)) else ''
    if NUMBER.match(text):
        return int(text) * 1e-9
    parts = _DURATION.findall(text)
    if not parts or ''.join(n + u for n, u in parts) != text:
        raise ValueError("invalid duration: '%s'; write a number with ms, s, m or h, for example 30s" % (value,))
    return sum(float(n) * _SECONDS[u] for n, u in parts)


def text(value):
    if isinstance(value, bool) or not isinstance(value, (str, _string, float) + _integer):
        raise ValueError('expected text, found %s' % kind(value))
    value = value if isinstance(value, (str, _string)) else str(value)
    # Python 2 gives unicode for non-ASCII text; a path and a name are str there.
    return value if isinstance(value, str) else value.encode('utf-8')


def positive(value):
    if isinstance(value, bool) or not isinstance(value, _integer) or not 1 <= value < 1 << 32:
        hint = '; remove the quotes' if isinstance(value, (str, _string)) and NUMBER.match(value) else ''
        if isinstance(value, _integer) and value > 1:
            hint = '; the largest is 4294967295'
        raise ValueError("expected a whole number of at least 1, found '%s'%s" % (value, hint))
    return value


def boolean(value):
    if not isinstance(value, bool):
        raise ValueError("'%s' is neither true nor false" % (value,))
    return value


def choice(*allowed):
    def read(value):
        if value not in allowed:
            raise ValueError("'%s' is not one of %s" % (value, ', '.join(allowed)))
        return value
    return read


def kind(value):
    kinds = ((dict, 'keys'), (list, 'a list'), (bool, 'true or false'), ((str, _string), 'text'),
             (_integer, 'a number'))
    return next((name for type_, name in kinds if isinstance(value, type_)), 'something else')
