"""What user code says with logging goes to the log of the service, with time, level and the id of the call.

A line goes there only if no handler of the user's own takes it: whoever configures logging gets what it says, once.
"""
from __future__ import absolute_import

import logging

from . import log as log_module
from .own import BUILTINS

globals().update(BUILTINS)

_NullHandler = logging.NullHandler
_get = logging.getLogger


class _Handler(logging.Handler):
    def __init__(self, log, invoke_id):
        logging.Handler.__init__(self)
        self._log, self._invoke_id = log, invoke_id
        self._exception = logging.Formatter().formatException

    def handle(self, record):
        if not self._is_taken(record):
            self.emit(record)

    def emit(self, record):
        try:
            trace = self._exception(record.exc_info) if record.exc_info else ''
            id = self._invoke_id()
            text = record.getMessage()
            text = '[%s] %s' % (id, text) if id else text
            self._log.write(record.levelno, text, trace, record.created, **dict(
                (k, v) for k, v in (('logger', record.name), ('invokeid', id)) if v))
        except Exception:
            self.handleError(record)

    def _is_taken(self, record):
        """Whether a handler of the user's writes the record, too."""
        logger = _get(record.name if record.name != 'root' else None)
        while logger is not None:
            for handler in logger.handlers:
                if handler is not self and not isinstance(handler, _NullHandler) and record.levelno >= handler.level:
                    return True
            logger = logger.parent if logger.propagate else None
        return False


def take(log, level, invoke_id):
    """Sends what no handler of the user's takes to the log. level is that of the configuration."""
    root, handler, basic_config = logging.getLogger(), _Handler(log, invoke_id), logging.basicConfig
    root.addHandler(handler)
    root.setLevel(log_module.LEVELS[level])

    def configure(**settings):
        if settings:  # without any, it would only add what this handler does already
            root.removeHandler(handler)
            basic_config(**settings)
            if not root.handlers:
                root.addHandler(handler)
    logging.basicConfig = configure
