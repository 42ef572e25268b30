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

from . import parse, variables

# The first one that is set wins over the file. The OPENEDGE names are those of 0.1.5 and earlier.
NAME_VARIABLES = ('BAETYL_SERVICE_INSTANCE_NAME', 'OPENEDGE_SERVICE_INSTANCE_NAME', 'OPENEDGE_SERVICE_NAME')
ADDRESS_VARIABLES = ('BAETYL_SERVICE_INSTANCE_ADDRESS', 'OPENEDGE_SERVICE_INSTANCE_ADDRESS', 'OPENEDGE_SERVICE_ADDRESS')
# Set by a function manager that knows the pipe: the runtime then serves that at the address, not gRPC.
PIPE_VARIABLE = 'BAETYL_SERVICE_INSTANCE_PIPE'
# Calls that it wants to run at once in the instance; absent: 1.
CONCURRENCY_VARIABLE = 'BAETYL_SERVICE_INSTANCE_CONCURRENCY'
# What it and the instance prove to each other that they have. The program takes it out of the environment.
SECRET_VARIABLE = 'BAETYL_SERVICE_INSTANCE_SECRET'

Config = namedtuple('Config', 'file name server functions logger')
# workers and concurrent may be None: the library's default, no limit. timeout is in seconds. own: the address is that
# of the file, not of the environment.
Server = namedtuple(
    'Server', 'address own pipe concurrency workers concurrent message_length ca key cert insecure timeout')
Function = namedtuple('Function', 'name handler codedir watch path')  # path is the key path, for errors
Logger = namedtuple('Logger', 'path level format age_days size_bytes backups')

_string = type(u'')


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
            raise ConfigError('%s: %s: expected keys below it, found %s'
                              % (file, path or 'the file', parse.kind(value)))
        self.file, self.path, self._values, self._known = file, path, value, []

    def at(self, key):
        return '%s.%s' % (self.path, key) if self.path else key

    def error(self, key, text):
        # Text with letters that are not ASCII is of two types in Python 2, which do not mix.
        return ConfigError(u'%s: %s: %s' % (_unicode(self.file), _unicode(self.at(key)), _unicode(text)))

    def take(self, key, read, default=None):
        """What read makes of the value of key; its default when it is absent or null."""
        self._known.append(key)
        value = self._values.get(key)
        if isinstance(value, variables.Given) and read is not parse.text:
            value = value.value
        if value is None:
            return default
        try:
            return read(value)
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
    name = root.take('name', parse.text)
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
    limit = length.take('max', parse.limit, length2.take('max', parse.limit, 4 << 20))
    address, given = s.take('address', parse.text), _from(environ, ADDRESS_VARIABLES)
    result = Server(
        address=_target(s, given or address),
        own=not given,
        pipe=environ.get(PIPE_VARIABLE) == '1',
        concurrency=_concurrency(s.file, environ.get(CONCURRENCY_VARIABLE)),
        workers=workers.take('max', parse.positive),
        concurrent=concurrent.take('max', parse.positive, concurrent2.take('max', parse.positive)),
        message_length=limit,
        ca=s.take('ca', parse.text, message2.take('ca', parse.text)),
        key=s.take('key', parse.text, message2.take('key', parse.text)),
        cert=s.take('cert', parse.text, message2.take('cert', parse.text)),
        insecure=s.take('insecure', parse.boolean, False),
        timeout=s.take('timeout', parse.duration, 5.0))
    for section in (length, length2, concurrent, concurrent2, message, message2, workers, s):
        section.done()
    if bool(result.key) != bool(result.cert):
        raise s.error('cert' if result.key else 'key', 'is missing; TLS needs server.key and server.cert')
    if result.ca and not result.cert:
        raise s.error('ca', 'needs server.key and server.cert too')
    return result._replace(pipe=result.pipe and not result.cert)


def _concurrency(file, text):
    if not text:
        return 1
    if not parse.NUMBER.match(text) or not 1 <= int(text) <= 1000:
        raise ConfigError("%s: environment variable %s: '%s' is not a whole number from 1 to 1000"
                          % (file, CONCURRENCY_VARIABLE, text))
    return int(text)


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
        raise root.error('functions', 'expected a list, found %s' % parse.kind(entries))
    result, names = [], set()
    for i, entry in enumerate(entries):
        f = _Section(root.file, 'functions[%d]' % i, entry)
        values = [(key, f.take(key, parse.text)) for key in ('name', 'handler', 'codedir')]
        watch = f.take('watch', parse.boolean, False)
        f.done()
        for key, value in values:
            if not value:
                raise f.error(key, 'config invalid, missing function name, handler or codedir: %s is not set' % key)
        (_, name), (_, handler), (_, codedir) = values
        function = Function(_unicode(name), handler, codedir, watch, f.path)
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
        path=s.take('path', parse.text),
        level=s.take('level', parse.choice('debug', 'info', 'warn', 'error'), 'info'),
        format=s.take('format', parse.choice('text', 'json'), 'text'),
        age_days=age.take('max', parse.positive, 15),
        size_bytes=sizes.take('max', parse.positive, 50) << 20,
        backups=backup.take('max', parse.positive, 15))
    for section in (age, sizes, backup, s):
        section.done()
    return result


def _from(environ, names):
    for name in names:
        if environ.get(name):
            return environ[name]
    return None


def _unicode(text):
    return text if isinstance(text, _string) else text.decode('utf-8', 'replace')
