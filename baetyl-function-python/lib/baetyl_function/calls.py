"""What a call does, over gRPC or the pipe: it finds the handler, runs it under a guard, and says how it failed.

    accepted --> queued --> running --> answered
        |           +--------> skipped                        the caller's deadline passed, or it went away
        |                          +--> ended (CallEnded)     the same, while the handler was running
        +--> refused, RESOURCE_EXHAUSTED                      more than server.concurrent.max at once

A function's error is answered with UNKNOWN and a detail that starts with "Exception calling application: ", so that the
manager can tell it from a broken runtime.
"""
from __future__ import absolute_import

import os
import sys
import threading

from . import functions
from .guard import CallEnded, Guard

# Status codes of gRPC, which the pipe uses too.
OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE = 0, 1, 2, 3, 8, 14

# A detail travels in a header of gRPC; callers accept few kilobytes there and break the call for more.
_DETAIL_MAX = 4000


class AddressError(Exception):
    """The runtime cannot listen at the address of the configuration. One line: the cause."""


class KeyFileError(Exception):
    """A key of server names a file that cannot be read. One line: key path, cause."""


class Refused(Exception):
    """The call is not answered with a result, but with a code and a detail."""

    def __init__(self, code, detail):
        Exception.__init__(self, detail)
        self.code, self.detail = code, detail


class Calls(object):
    """Runs handlers {name: callable} and, through workers, the functions that run elsewhere."""

    def __init__(self, handlers, workers, log):
        self._handlers, self._workers, self._log = handlers, workers, log

    def run(self, request, call):
        """Returns request with the result as its Payload. Raises Refused.

        call has add_callback(f), which calls f() when the caller goes away and returns False when it is gone; and
        time_remaining(), which returns seconds or None.
        """
        handler = self._handlers.get(request.FunctionName)
        if handler is None:
            if self._workers.has(request.FunctionName):
                return self._workers.call(request, call)
            raise _failed('Exception calling application: function not found')
        guard = Guard()
        if not call.add_callback(guard.interrupt):
            raise Refused(CANCELLED, 'the caller is gone')
        try:
            result = guard.run(handler, functions.event(request.Payload), functions.context(request))
        except CallEnded:
            self._log.warning('function %s [%s] ended: its caller did not wait',
                              request.FunctionName, request.FunctionInvokeID)
            raise Refused(CANCELLED, 'the caller is gone')
        except BaseException as e:  # SystemExit in user code ends the call, not the instance
            self._log.error('function %s [%s] failed', request.FunctionName, request.FunctionInvokeID,
                            exc_info=(type(e), e, functions.user_part(sys.exc_info()[2])))
            raise _failed(functions.detail('[UserCodeInvoke] ', e))
        try:
            request.Payload = functions.payload(result)
        except functions.UserError as e:
            self._log.error('function %s [%s]: %s', request.FunctionName, request.FunctionInvokeID, e)
            raise _failed(str(e))
        return request


def _failed(detail):
    if isinstance(detail, bytes):  # Python 2
        detail = detail.decode('utf-8', 'replace')
    if len(detail) > _DETAIL_MAX:
        detail = detail[:_DETAIL_MAX] + u'...'
    return Refused(UNKNOWN, detail.encode('utf-8', 'replace').decode('utf-8'))


class Gate(object):
    """Limits the calls that are accepted, and those of them that run."""

    def __init__(self, calls, workers):
        self._calls, self._workers = threading.Semaphore(calls), threading.Semaphore(workers)

    def __enter__(self):
        """Raises Refused when the calls are too many; else blocks until this one may run."""
        if not self._calls.acquire(False):
            raise Refused(RESOURCE_EXHAUSTED, 'Concurrent RPC limit exceeded!')
        self._workers.acquire()

    def __exit__(self, *_):
        self._workers.release()
        self._calls.release()


def workers(config):
    """How many calls of config.Server run at once."""
    return config.workers or _cpus() * 5


def _cpus():
    if hasattr(os, 'cpu_count'):
        return os.cpu_count() or 1
    import multiprocessing  # Python 2
    return multiprocessing.cpu_count()
