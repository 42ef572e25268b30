"""Ends a handler whose caller is gone, so that it does not hold a worker thread for ever.

A thread cannot be ended from outside, but CPython can raise an exception in it. That ends Python code, also an endless
loop. Code that waits inside C (a socket read, a sleep) goes on until it returns to Python.
"""
from __future__ import absolute_import

import ctypes
import sys
import threading

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_ident = ctypes.c_ulong if sys.version_info >= (3, 7) else ctypes.c_long  # the type of the argument changed
_get_ident = threading.get_ident if hasattr(threading, 'get_ident') else threading._get_ident  # Python 2


class CallEnded(BaseException):
    """Raised in the handler when the deadline passed or the caller cancelled.

    It is no Exception, so that `except Exception` in user code does not catch it.
    """


class Guard(object):
    """For one call: run in the thread of the call, interrupt at most once from another one.

    CallEnded is sent at most once, and only while run runs. run leaves none behind: the next call of the thread never
    gets the exception of this one.
    """

    def __init__(self):
        self._lock, self._thread, self._sent = threading.Lock(), None, False

    def run(self, function, *args):
        """Returns function(*args), or raises what it raises or CallEnded."""
        try:
            self._thread = _get_ident()
            try:
                return function(*args)
            finally:
                self._close()
        except CallEnded:
            self._thread = None  # it arrived, perhaps inside of _close
            raise

    def interrupt(self):
        with self._lock:
            if self._thread is not None and not self._sent:
                self._sent = True
                _raise_in(_ident(self._thread), ctypes.py_object(CallEnded))

    def _close(self):
        with self._lock:
            thread, self._thread = self._thread, None
        if self._sent:
            _raise_in(_ident(thread), None)  # sent but not yet arrived, or swallowed by user code: take it back
