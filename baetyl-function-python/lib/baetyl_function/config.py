"""Reads the configuration file into plain values, or says which key of which file is wrong and what to write instead.

Sizes are bytes or a number with k, m, g ("4m", binary units). Durations are Go durations ("30s", "1m30s"); a bare
number is nanoseconds, as in earlier versions. An absent or null key gets its default; an unknown key is an error.
"""
from __future__ import absolute_import

import io
import os
import re
import stat
from collections import namedtuple

import yaml

from . import variables

# The first one that is set wins over the file. The OPENEDGE names are those of 0.1.5 and earlier.
NAME_VARIABLES = ('BAETYL_SERVICE_INSTANCE_NAME', 'OPENEDGE_SERVICE_INSTANCE_NAME', 'OPENEDGE_SERVICE_NAME')
ADDRESS_VARIABLES = ('BAETYL_SERVICE_INSTANCE_ADDRESS', 'OPENEDGE_SERVICE_INSTANCE_ADDRESS', 'OPENEDGE_SERVICE_ADDRESS')
# Set by a function manager that knows the pipe: the runtime then serves that at the address, not gRPC.
PIPE_VARIABLE = 'BAETYL_SERVICE_INSTANCE_PIPE'

Config = namedtuple('Config', 'file name server functions logger')
# workers and concurrent may be None: the library's default, no limit. timeout is in seconds. own: the address is that
# of the file, not of the environment.
Server = namedtuple('Server', 'address own pipe workers concurrent message_length ca key cert insecure timeout')
Function = namedtuple('Function', 'name handler codedir path')  # path is the key path, for errors
Logger = namedtuple('Logger', 'path level format age_days size_bytes backups')

_string = type(u'')
_integer = (int, type(1 << 64))  # int and long in Python 2
_MOST = 1 << 63  # bytes and nanoseconds are below it, as in the modules in Go
_SIZE = re.compile(r'^([0-9]+)\s*([kmgt]?)b?$')
_NUMBER = re.compile(r'^[0-9]+$')
_DURATION = re.compile(u'([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|\xb5s|\u03bcs|ms|s|m|h)')
_SECONDS = {'ns': 1e-9, 'us': 1e-6, u'\xb5s': 1e-6, u'\u03bcs': 1e-6, 'ms': 1e-3, 's': 1.0, 'm': 60.0, 'h': 3600.0}


class ConfigError(Exception):
    """One line: file, key path, what is wrong, what to do."""


class _Section(object):
    """A mapping of the file. A key that was not taken before done is unknown."""

    def __init__(self, file, path, value):
        if isinstance(value, variables.Given):
            value = value.value
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ConfigError('%s: %s: expected keys below it, found %s' % (file, path or 'the file', _kind(value)))
        self.file, self.path, self._values, self._known = file, path, value, []

    def at(self, key):
        return '%s.%s' % (self.path, key) if self.path else key

    def error(self, key, text):
        # Text with letters that are not ASCII is of two types in Python 2, which do not mix.
        return ConfigError(u'%s: %s: %s' % (_unicode(self.file), _unicode(self.at(key)), _unicode(text)))

    def take(self, key, parse, default=None):
        """The parsed value of key; its default when it is absent or null."""
        self._known.append(key)
        value = self._values.get(key)
        if isinstance(value, variables.Given) and parse is not _text:
            value = value.value
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as e:
            raise self.error(key, e.args[0])

    def section(self, key):
        self._known.append(key)
        return _Section(self.file, self.at(key), self._values.get(key))

    def done(self):
        for key in self._values:
            if key not in self._known:
                raise self.error(key, 'unknown key; known here: %s' % ', '.join(sorted(set(self._known))))


def load(file, environ=os.environ):
    """Returns the Config in file, overridden by environ. Raises ConfigError."""
    root = _Section(file, '', _parse(file, environ))
    root.take('hub', lambda v: v)  # a key of all modules, which a runtime does not need
    name = root.take('name', _text)
    name = _from(environ, NAME_VARIABLES) or name
    server = _server(root.section('server'), environ)
    logger = _logger(root.section('logger'))
    functions = _functions(root)
    root.done()
    if not name:
        raise ConfigError('%s: config invalid, missing name: set name, or the environment variable %s'
                          % (file, NAME_VARIABLES[0]))
    return Config(file, _unicode(name), server, functions, logger)


def _parse(file, environ):
    try:
        what = _strange(os.stat(file).st_mode)
        if what:
            raise ConfigError('%s: is %s; name a regular file with -c' % (file, what))
        with io.open(file, encoding='utf-8') as f:
            text = f.read()
    except (IOError, OSError) as e:
        raise ConfigError('%s: %s; name the configuration file with -c' % (file, e.strerror or e))
    except UnicodeDecodeError as e:
        raise ConfigError('%s: not UTF-8 text: %s' % (file, e))
    loader = None
    try:
        loader = variables.Loader(text, environ)
        return loader.get_single_data()
    except variables.Unusable as e:
        raise ConfigError('%s: %s' % (file, e))
    except yaml.MarkedYAMLError as e:
        line = '' if e.problem_mark is None else 'line %d: ' % (e.problem_mark.line + 1)
        raise ConfigError(u'%s: %s%s' % (_unicode(file), line, loader.uncover(_unicode(e.problem))))
    except (yaml.YAMLError, ValueError) as e:
        raise ConfigError('%s: %s' % (file, ' '.join(str(e).split())))
    except RuntimeError:  # the recursion limit: thousands of nested brackets
        raise ConfigError('%s: nested too deep' % file)


def _strange(mode):
    """What can't be read as a file is: waiting for the writer of a FIFO would never end."""
    for test, name in ((stat.S_ISFIFO, 'a FIFO'), (stat.S_ISSOCK, 'a socket'), (stat.S_ISCHR, 'a device'),
                       (stat.S_ISBLK, 'a device')):
        if test(mode):
            return name
    return None


def _server(s, environ):
    workers, concurrent, message = s.section('workers'), s.section('concurrent'), s.section('message')
    length = message.section('length')
    # "Baetyl Configuration Interpretation" indents concurrent, message and the certificates below workers.
    # Earlier versions did not read them there; this one does, so that a copy of the document works.
    concurrent2, message2 = workers.section('concurrent'), workers.section('message')
    length2 = message2.section('length')
    limit = length.take('max', _limit, length2.take('max', _limit, 4 << 20))
    address, given = s.take('address', _text), _from(environ, ADDRESS_VARIABLES)
    result = Server(
        address=_target(s, given or address),
        own=not given,
        pipe=environ.get(PIPE_VARIABLE) == '1',
        workers=workers.take('max', _positive),
        concurrent=concurrent.take('max', _positive, concurrent2.take('max', _positive)),
        message_length=limit,
        ca=s.take('ca', _text, message2.take('ca', _text)),
        key=s.take('key', _text, message2.take('key', _text)),
        cert=s.take('cert', _text, message2.take('cert', _text)),
        insecure=s.take('insecure', _boolean, False),
        timeout=s.take('timeout', duration, 5.0))
    for section in (length, length2, concurrent, concurrent2, message, message2, workers, s):
        section.done()
    if bool(result.key) != bool(result.cert):
        raise s.error('cert' if result.key else 'key', 'is missing; TLS needs server.key and server.cert')
    if result.ca and not result.cert:
        raise s.error('ca', 'needs server.key and server.cert too')
    return result._replace(pipe=result.pipe and not result.cert and not result.address.startswith('unix:'))


def _target(s, address):
    if not address:
        raise ConfigError('%s: config invalid, missing server address: set server.address, or the environment '
                          'variable %s' % (s.file, ADDRESS_VARIABLES[0]))
    address = address[len('tcp://'):] if address.startswith('tcp://') else address
    if not address.startswith('unix:') and not re.search(r':[0-9]+$', address):
        raise s.error('address', "'%s' is not <host>:<port>" % address)
    return address


def _functions(root):
    entries = root.take('functions', lambda v: v)
    if not entries:
        raise ConfigError('%s: config invalid, missing functions: list at least one with name, handler and codedir'
                          % root.file)
    if not isinstance(entries, list):
        raise root.error('functions', 'expected a list, found %s' % _kind(entries))
    result, names = [], set()
    for i, entry in enumerate(entries):
        f = _Section(root.file, 'functions[%d]' % i, entry)
        values = [(key, f.take(key, _text)) for key in ('name', 'handler', 'codedir')]
        f.done()
        for key, value in values:
            if not value:
                raise f.error(key, 'config invalid, missing function name, handler or codedir: %s is not set' % key)
        (_, name), (_, handler), (_, codedir) = values
        function = Function(_unicode(name), handler, codedir, f.path)
        if function.name in names:
            raise f.error('name', "function '%s' is there twice" % function.name)
        if not all(function.handler.split('.')) or '.' not in function.handler:
            raise f.error('handler', "'%s' is not <module>.<function>, for example index.handler" % function.handler)
        if not os.path.isdir(function.codedir):
            raise f.error('codedir', "no directory '%s' in %s" % (function.codedir, os.getcwd()))
        names.add(function.name)
        result.append(function)
    return result


def _logger(s):
    age, sizes, backup = s.section('age'), s.section('size'), s.section('backup')
    result = Logger(
        path=s.take('path', _text),
        level=s.take('level', _choice('debug', 'info', 'warn', 'error'), 'info'),
        format=s.take('format', _choice('text', 'json'), 'text'),
        age_days=age.take('max', _positive, 15),
        size_bytes=sizes.take('max', _positive, 50) << 20,
        backups=backup.take('max', _positive, 15))
    for section in (age, sizes, backup, s):
        section.done()
    return result


def size(value):
    """Bytes of 512, "512", "32k", "4m", "1g"."""
    whole = isinstance(value, _integer) and not isinstance(value, bool) and value >= 0
    text = value.strip().lower() if isinstance(value, (str, _string)) else str(value) if whole else ''
    m = _SIZE.match(text)
    count = int(m.group(1)) << (10 * ' kmgt'.index(m.group(2) or ' ')) if m else _MOST
    if count >= _MOST:
        raise ValueError("invalid size: '%s'; write bytes or a number with k, m or g" % (value,))
    return count


def _limit(value):
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
    if _NUMBER.match(text):
        return int(text) * 1e-9
    parts = _DURATION.findall(text)
    if not parts or ''.join(n + u for n, u in parts) != text:
        raise ValueError("invalid duration: '%s'; write a number with ms, s, m or h, for example 30s" % (value,))
    return sum(float(n) * _SECONDS[u] for n, u in parts)


def _text(value):
    if isinstance(value, bool) or not isinstance(value, (str, _string, float) + _integer):
        raise ValueError('expected text, found %s' % _kind(value))
    text = value if isinstance(value, (str, _string)) else str(value)
    # Python 2 gives unicode for non-ASCII text; a path and a name are str there.
    return text if isinstance(text, str) else text.encode('utf-8')


def _positive(value):
    if isinstance(value, bool) or not isinstance(value, _integer) or not 1 <= value < 1 << 32:
        hint = '; remove the quotes' if isinstance(value, (str, _string)) and _NUMBER.match(value) else ''
        if isinstance(value, _integer) and value > 1:
            hint = '; the largest is 4294967295'
        raise ValueError("expected a whole number of at least 1, found '%s'%s" % (value, hint))
    return value


def _boolean(value):
    if not isinstance(value, bool):
        raise ValueError("'%s' is neither true nor false" % (value,))
    return value


def _choice(*allowed):
    def parse(value):
        if value not in allowed:
            raise ValueError("'%s' is not one of %s" % (value, ', '.join(allowed)))
        return value
    return parse


def _from(environ, names):
    for name in names:
        if environ.get(name):
            return environ[name]
    return None


def _unicode(text):
    return text if isinstance(text, _string) else text.decode('utf-8', 'replace')


def _kind(value):
    kinds = ((dict, 'keys'), (list, 'a list'), (bool, 'true or false'), ((str, _string), 'text'),
             (_integer, 'a number'))
    return next((name for kind, name in kinds if isinstance(value, kind)), 'something else')
