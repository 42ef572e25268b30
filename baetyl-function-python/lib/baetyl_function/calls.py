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
import threading

from . import functions, values
from .guard import CallEnded, Guard, Settings
from .own import BUILTINS, decode, encode, get_ident

globals().update(BUILTINS)

# Status codes of gRPC, which the pipe uses too.
OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = 0, 1, 2, 3, 8, 14, 16

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
    """Runs functions.Functions and, through workers, those that run elsewhere."""

    def __init__(self, workers, log, stop):
        self._functions, self._workers, self._log, self._stop = {}, workers, log, stop
        self._settings, self._running = Settings(), {}  # of threads

    def add(self, functions):
        """Those that are loaded here."""
        self._functions = functions

    def invoke_id(self):
        """That of the call that this thread runs; of the one that runs, when user code asks from another thread."""
        try:
            id = self._running.get(get_ident())
            return id if id is not None or len(self._running) != 1 else list(self._running.values())[0]
        except (RuntimeError, IndexError):  # it has changed meanwhile
            return None

    def run(self, request, call):
        """Returns the bytes of request with the result as its Payload. Raises Refused.

        call has add_callback(f), which calls f() when the caller goes away and returns False when it is gone; and
        time_remaining(), which returns seconds or None.
        """
        if request.FunctionName not in self._functions and self._workers.has(request.FunctionName):
            return self._workers.call(request, call)
        return request.answer(self.result(request, call))

    def result(self, request, call):
        """Returns the payload of the result of a function that is loaded here. Raises Refused."""
        function = self._functions.get(request.FunctionName)
        if function is None:
            raise _failed('Exception calling application: function not found')
        guard, thread = Guard(), get_ident()
        if not call.add_callback(guard.interrupt):
            raise Refused(CANCELLED, 'the caller is gone')
        error = None
        self._running[thread] = request.FunctionInvokeID
        try:
            result = guard.run(self._call, function, request, guard)
        except CallEnded:
            self._log.warning('function %s [%s] ended: its caller did not wait' % (
                request.FunctionName, request.FunctionInvokeID))
            raise Refused(CANCELLED, 'the caller is gone')
        except BaseException as e:  # SystemExit in user code ends the call, not the instance
            error = e
            if not self._stop.forked:
                raise self._user_error(function, request, '[UserCodeInvoke] ', e)
        finally:
            if self._stop.forked:
                self._stop.leave_child(error)
            self._running.pop(thread, None)
        try:
            return values.payload(result)
        except BaseException as e:
            raise self._user_error(function, request, '[UserCodeReturn] ', e)

    def _call(self, function, request, guard):
        function.reload(self._log)
        event, topic, id = values.event(request.Payload), request.Topic, request.FunctionInvokeID
        context = {
            'messageQOS': request.QOS,
            'messageTopic': topic,
            'messageTimestamp': request.Timestamp,
            'functionName': request.FunctionName,
            'functionInvokeID': id,
            'invokeid': id,  # its name at CFC
        }
        return function.call(event, context, guard, self._settings)

    def _user_error(self, function, request, kind, error):
        failure = function.failure(error)
        self._log.error('function %s [%s] failed: %s' % (request.FunctionName, request.FunctionInvokeID, failure.line),
                        trace=failure.trace)
        return _failed(_detail(kind, error), failure.place)


def _detail(kind, error):
    """The documented detail of an error: a tuple of where and what, as Python prints it."""
    try:
        text = str(Exception(kind, error))
    except BaseException:  # its __repr__ fails
        text = '(%r, %s())' % (kind, functions.kind(error))
    return 'Exception calling application: ' + text


def _failed(detail, place=u''):
    """Refused with a detail, and behind it the place, which is no part of the documented text."""
    if isinstance(detail, bytes):  # Python 2
        detail = decode(detail, 'replace')
    if len(detail) > _DETAIL_MAX:
        detail = detail[:_DETAIL_MAX] + u'...'
    if place:
        detail += u' (%s)' % place
    return Refused(UNKNOWN, decode(encode(detail, 'replace')))


class Gate(object):
    """Limits the calls that are accepted over gRPC, and those of them that run."""

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
    """How many calls of config.Server run at once, unless the function manager says so."""
    return config.workers or _cpus() * 5


def _cpus():
    if hasattr(os, 'cpu_count'):
        return os.cpu_count() or 1
    import multiprocessing  # Python 2
    return multiprocessing.cpu_count()
