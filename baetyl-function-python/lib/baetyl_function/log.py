"""The log of the runtime: every line to stderr, where the master captures it, and to a rotated file if a path is set.

    <date> <time> - <instance> - <LEVEL> - <message>              format: text
    {"time": ..., "level": ..., "instance": ..., "msg": ...}      format: json

The file is rotated by size into <stem>-<time><suffix>. Rotated files are removed when there are more than backup.max,
or when they are older than age.max days, as in all modules. Several processes may share the path (instances of one
service, a runtime and its workers). When the file cannot be written its lines are lost; calls go on.
"""
from __future__ import absolute_import

import errno
import json
import logging
import os
import sys
import time

_LEVELS = {'debug': logging.DEBUG, 'info': logging.INFO, 'warn': logging.WARNING, 'error': logging.ERROR}


def new(config, name):
    """Returns the logger for config.Logger. It is not in the tree of logging, so user code cannot change it."""
    log = logging.Logger(name, _LEVELS[config.level])
    formatter = logging.Formatter('%(asctime)s - %(name)s - %(levelname)s - %(message)s')
    if config.format == 'json':
        formatter = _JSON()
    handlers = [_Console(sys.stderr)]
    if config.path:
        handlers.append(_File(config))
    for handler in handlers:
        handler.setFormatter(formatter)
        log.addHandler(handler)
    return log


class _JSON(logging.Formatter):
    def format(self, record):
        line = [('time', time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(record.created))),
                ('level', record.levelname.lower()), ('instance', record.name), ('msg', record.getMessage())]
        if record.exc_info:
            line.append(('error', self.formatException(record.exc_info)))
        return '{%s}' % ', '.join('%s: %s' % (json.dumps(k), json.dumps(v)) for k, v in line)


class _Console(logging.StreamHandler):
    def handleError(self, record):
        pass  # stderr is gone; there is no other place to report it


class _File(logging.Handler):
    def __init__(self, config):
        logging.Handler.__init__(self)
        self._config, self._fd, self._told = config, None, False

    def emit(self, record):
        try:
            line = self.format(record) + '\n'
            self._write(line if isinstance(line, bytes) else line.encode('utf-8', 'backslashreplace'))
            self._told = False
        except Exception as e:  # a full disk, a removed directory
            if not self._told:
                self._told = True
                sys.stderr.write('write log file %s: %s\n' % (self._config.path, e))

    def _write(self, line):
        self._open()
        size = os.fstat(self._fd).st_size
        if size and size + len(line) > self._config.size_bytes:
            # Process and time are in the name: two processes that rotate at once make a short file, and lose no line.
            os.rename(self._config.path, self._backup_name())
            self._open()
            self._prune()
        os.write(self._fd, line)

    def _open(self):
        """Opens the file at path, again if another process has moved it away."""
        path = self._config.path
        if self._fd is not None:
            try:
                here, there = os.fstat(self._fd), os.stat(path)
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    return
            except OSError as e:
                if e.errno != errno.ENOENT:
                    raise
            os.close(self._fd)
            self._fd = None
        directory = os.path.dirname(path)
        if directory and not os.path.isdir(directory):
            os.makedirs(directory, 0o755)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def _backup_name(self):
        stem, suffix = os.path.splitext(self._config.path)
        now = time.time()
        moment = '%s.%06d' % (time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime(now)), now % 1 * 1e6)
        return '%s-%s.%d%s' % (stem, moment, os.getpid(), suffix)

    def _prune(self):
        stem, suffix = os.path.splitext(self._config.path)
        directory, prefix = os.path.split(stem + '-')
        names = os.listdir(directory or '.')
        backups = sorted((n for n in names if n.startswith(prefix) and n.endswith(suffix)), reverse=True)
        oldest = time.time() - self._config.age_days * 86400
        for i, name in enumerate(backups):
            path = os.path.join(directory, name)
            try:
                if i >= self._config.backups or os.stat(path).st_mtime < oldest:
                    os.remove(path)
            except OSError:
                pass  # another process was quicker
