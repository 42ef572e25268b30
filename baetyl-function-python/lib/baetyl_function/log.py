"""The log of the runtime: every line to stderr, where the master captures it, and to a rotated file if a path is set.

    <date> <time> - <instance> - <LEVEL> - <message>              format: text
    {"time": ..., "level": ..., "instance": ..., "msg": ...}      format: json

The file is rotated by size into <stem>-<time><suffix>. Rotated files are removed when there are more than backup.max,
or when they are older than age.max days, as in all modules. Several processes may share the path (instances of one
service, a runtime and its workers). When the file cannot be written its lines are lost; calls go on.

It does not use logging and sys.stderr, which belong to user code: that may replace, close or disable them.
"""
from __future__ import absolute_import

import errno
import os
from json import encoder
from os import close, fstat, getpid, listdir, makedirs, open as open_file, remove, rename, stat, write
from os.path import abspath, dirname, isdir, join, split, splitext
from time import gmtime, localtime, strftime, time

from . import guard
from .own import BUILTINS, allocate_lock, decode, encode, text_type

globals().update((name, value) for name, value in BUILTINS.items() if name != 'open')

LEVELS = {'debug': 10, 'info': 20, 'warn': 30, 'error': 40}  # the numbers of logging
_NAMES = {10: 'DEBUG', 20: 'INFO', 30: 'WARNING', 40: 'ERROR'}
_quote = encoder.encode_basestring_ascii


class Log(object):
    """Writes for config.Logger. The file is opened with the first line."""

    def __init__(self, config, name):
        self._config, self._name, self._level = config, name, LEVELS[config.level]
        self._path = abspath(config.path) if config.path else None  # user code may change the directory
        self.fd = guard.high(2)
        self._fd, self._told, self._lock = None, False, allocate_lock()

    def info(self, text, **more):
        self.write(20, text, **more)

    def warning(self, text, **more):
        self.write(30, text, **more)

    def error(self, text, **more):
        self.write(40, text, **more)

    def write(self, level, text, trace='', created=None, **fields):
        """Writes a line. trace: further lines, of a traceback. fields: text for keys of the format json, which text
        has already."""
        if level < self._level:
            return
        name = _NAMES[max(10, min(40, level // 10 * 10))]
        line = self._line(name, text, trace, time() if created is None else created, fields) + u'\n'
        line = encode(line, 'backslashreplace')
        with self._lock:
            self._put(self.fd, line)
            if self._path is None:
                return
            try:
                self._write(line)
                self._told = False
            except Exception as e:  # a full disk, a removed directory
                if not self._told:
                    self._told = True
                    self._put(self.fd, encode(_text('write log file %s: %s\n' % (self._config.path, e)), 'replace'))

    def say(self, text):
        """Writes a line of the program's own to stderr alone."""
        self._put(self.fd, encode(_text(text) + u'\n', 'backslashreplace'))

    def forget(self):
        """In a child of fork: another thread may have been writing."""
        self._lock = allocate_lock()

    def _line(self, level, text, trace, now, fields):
        text = _text(text)
        if self._config.format == 'text':
            moment = strftime('%Y-%m-%d %H:%M:%S', localtime(now)) + ',%03d' % (now % 1 * 1e3)
            line = u'%s - %s - %s - %s' % (moment, self._name, level, text)
            return line + u'\n' + _text(trace).rstrip(u'\n') if trace else line
        line = [('time', strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(now))), ('level', level.lower()),
                ('instance', self._name), ('msg', text)] + sorted(fields.items())
        if trace:
            line.append(('error', trace.rstrip('\n')))
        return u'{%s}' % u', '.join(u'%s: %s' % (_quote(k), _quote(_text(v))) for k, v in line)

    @staticmethod
    def _put(fd, line):
        try:
            while line:
                line = line[write(fd, line):]
        except OSError:
            pass  # there is no other place to report it

    def _write(self, line):
        self._open()
        size = fstat(self._fd).st_size
        if size and size + len(line) > self._config.size_bytes:
            # Process and time are in the name: two processes that rotate at once make a short file, and lose no line.
            rename(self._path, self._backup_name())
            self._open()
            self._prune()
        write(self._fd, line)

    def _open(self):
        """Opens the file at path, again if another process has moved it away, or user code has closed it."""
        if self._fd is not None:
            try:
                here, there = fstat(self._fd), stat(self._path)
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    return
                close(self._fd)
            except OSError as e:
                if e.errno == errno.ENOENT:
                    close(self._fd)
                elif e.errno != errno.EBADF:
                    raise
            self._fd = None
        directory = dirname(self._path)
        if not isdir(directory):
            makedirs(directory, 0o755)
        self._fd = guard.high(open_file(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), move=True)

    def _backup_name(self):
        stem, suffix = splitext(self._path)
        now = time()
        moment = '%s.%06d' % (strftime('%Y-%m-%dT%H-%M-%S', gmtime(now)), now % 1 * 1e6)
        return '%s-%s.%d%s' % (stem, moment, getpid(), suffix)

    def _prune(self):
        stem, suffix = splitext(self._path)
        directory, prefix = split(stem + '-')
        backups = sorted((n for n in listdir(directory) if n.startswith(prefix) and n.endswith(suffix)), reverse=True)
        oldest = time() - self._config.age_days * 86400
        for i, name in enumerate(backups):
            path = join(directory, name)
            try:
                if i >= self._config.backups or stat(path).st_mtime < oldest:
                    remove(path)
            except OSError:
                pass  # another process was quicker


def _text(value):
    if isinstance(value, text_type):
        return value
    return decode(value, 'replace') if isinstance(value, bytes) else text_type(value)
