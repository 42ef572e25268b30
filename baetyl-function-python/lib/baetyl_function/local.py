"""Runs a function once, without the edge: --handler index.handler --event event.json.

The event is made of the file as of a message, and what the message of the result would have goes to stdout.
"""
from __future__ import absolute_import

import os
import sys

from . import calls, codec, config, functions, log, stop, userlog

_ID = u'local'


class _Caller(object):
    @staticmethod
    def add_callback(_):
        return True


def run(handler, codedir, event):
    """Returns the exit status: 0; 1 with the reason on stderr. event is a path, '-' for stdin, None for no payload."""
    logger = log.Log(config.Logger(None, 'info', 'text', 0, 0, 0), handler)
    request = codec.Message()
    request.FunctionName, request.FunctionInvokeID = _text(handler), _ID
    try:
        request.Payload = _read(event)
    except (IOError, OSError) as e:
        logger.error('--event %s: %s; name a file with the payload, or - for stdin' % (event, e.strerror))
        return 1
    try:
        if not os.path.isdir(codedir):
            raise functions.LoadError('--codedir %s: no such directory' % codedir)
        if '.' not in handler.strip('.'):
            raise functions.LoadError("--handler '%s' is not <module>.<function>, for example index.handler" % handler)
        ender = stop.Stop()
        ender.guard_process(logger, [logger.forget])
        entry = config.Function(request.FunctionName, handler, codedir, False, '--handler %s' % handler)
        runner = calls.Calls(None, logger, ender)
        userlog.take(logger, 'info', runner.invoke_id)
        runner.add(functions.load([entry]))
        result = runner.result(request, _Caller)
    except functions.LoadError as e:
        logger.error(str(e), trace=e.trace)
        return 1
    except calls.Refused:
        return 1  # the log has the reason
    sys.stdout.flush()
    out = getattr(sys.stdout, 'buffer', sys.stdout)
    out.write(result + b'\n' if result and not result.endswith(b'\n') else result)
    out.flush()
    return 0


def _read(event):
    if event is None:
        return b''
    if event == '-':
        return getattr(sys.stdin, 'buffer', sys.stdin).read()
    with open(event, 'rb') as f:
        return f.read()


def _text(value):
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else value
