"""Imports the users' functions and calls them: payload -> event -> handler(event, context) -> payload.

Nothing here knows gRPC: a call is a FunctionMessage in and bytes out, or a UserError.
"""
from __future__ import absolute_import

import importlib
import json
import os
import sys


class LoadError(Exception):
    """One line: key path, function, cause."""


class UserError(Exception):
    """The function failed. Its text is the detail of the answer, as documented."""


def load(entries):
    """Imports the handlers of config.Function entries; returns {name: handler}. Raises LoadError.

    The code directories go to the front of sys.path, as the directory of a script does when it is run by hand. Two code
    directories that have a module of the same name must not come here together, see workers.split.
    """
    for codedir in reversed([os.path.abspath(e.codedir) for e in entries]):
        if codedir not in sys.path:
            sys.path.insert(0, codedir)
    return dict((e.name, _load(e)) for e in entries)


def _load(entry):
    module_name, _, attribute = entry.handler.rpartition('.')
    try:
        module = importlib.import_module(module_name)
    except BaseException as e:  # sys.exit() in user code, too
        error = LoadError("%s.handler: import '%s' of function '%s' from %s: %s: %s"
                          % (entry.path, entry.handler, entry.name, entry.codedir, type(e).__name__, e))
        error.traceback = user_part(sys.exc_info()[2])
        raise error
    where = getattr(module, '__file__', None) or 'the interpreter itself'
    if not os.path.abspath(where).startswith(os.path.abspath(entry.codedir) + os.sep):
        raise LoadError("%s.handler: module '%s' of function '%s' is not the one in %s, its name belongs to %s; "
                        "rename it" % (entry.path, module_name, entry.name, entry.codedir, where))
    handler = getattr(module, attribute, None)
    if not callable(handler):
        raise LoadError("%s.handler: no function '%s' in %s, which function '%s' names"
                        % (entry.path, attribute, where, entry.name))
    return handler


def user_part(traceback):
    """The part of a traceback that is below this package and Python's import; None when there is none."""
    here, imports = (os.path.dirname(os.path.abspath(f)) for f in (__file__, importlib.__file__))
    ours = (here, imports, '<frozen importlib')
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(ours):
        traceback = traceback.tb_next
    return traceback


def context(message):
    """The context of the call of a FunctionMessage."""
    return {
        'messageQOS': message.QOS,
        'messageTopic': message.Topic,
        'messageTimestamp': message.Timestamp,
        'functionName': message.FunctionName,
        'functionInvokeID': message.FunctionInvokeID,
        'invokeid': message.FunctionInvokeID,  # its name at CFC
    }


def event(payload):
    """The event of a payload: {} for an empty one, the value of JSON text, else the bytes."""
    if not payload:
        return {}
    try:
        return json.loads(payload.decode('utf-8'))
    except (ValueError, RuntimeError):  # not UTF-8, not JSON; nested deeper than the interpreter can go
        return payload


def payload(result):
    """The payload of a result: b'' for None, bytes as they are, else JSON text. Raises UserError if it has none."""
    if result is None:
        return b''
    if isinstance(result, bytes):
        return result
    try:
        return json.dumps(result).encode('utf-8')
    except Exception as e:
        raise UserError(detail('[UserCodeReturn] ', e))


def detail(kind, error):
    """The documented detail of an error: a tuple of where and what, as Python prints it."""
    try:
        text = str(Exception(kind, error))
    except Exception:  # its __repr__ fails
        text = "(%r, %s())" % (kind, type(error).__name__)
    return 'Exception calling application: ' + text
