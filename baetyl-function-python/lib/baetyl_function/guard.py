"""Ends a handler whose caller is gone, and keeps a handler's changes of Python away from the runtime.

A thread cannot be ended from outside, but CPython can raise an exception in it. That ends Python code, also an endless
loop. Code that waits inside C (a socket read, a sleep) goes on until it returns to Python.
"""
from __future__ import absolute_import

import ctypes
import fcntl
import os
import resource
import sys

from .own import BUILTINS, allocate_lock, get_ident

globals().update(BUILTINS)

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_ident = ctypes.c_ulong if sys.version_info >= (3, 7) else ctypes.c_long  # the type of the argument changed
_object = ctypes.py_object


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
        self._lock, self._thread, self._sent, self.wake = allocate_lock(), None, False, None

    def run(self, function, *args):
        """Returns function(*args), or raises what it raises or CallEnded."""
        try:
            self._thread = get_ident()
            try:
                return function(*args)
            finally:
                self._close()
        except CallEnded:
            self._thread = None  # it arrived, perhaps inside of _close
            raise

    def interrupt(self):
        """Raises CallEnded in run. wake(), if set, ends what waits in C there."""
        with self._lock:
            if self._thread is not None and not self._sent:
                self._sent = True
                _raise_in(_ident(self._thread), _object(CallEnded))
                if self.wake is not None:
                    self.wake()

    def _close(self):
        with self._lock:
            thread, self._thread = self._thread, None
        if self._sent:
            _raise_in(_ident(thread), None)  # sent but not yet arrived, or swallowed by user code: take it back


class Settings(object):
    """The interpreter's settings that a handler may change, and that code of the runtime would run with."""

    def __init__(self, _sys=sys):
        self._trace, self._profile = None, None
        self._gettrace, self._settrace = _sys.gettrace, _sys.settrace
        self._getprofile, self._setprofile = _sys.getprofile, _sys.setprofile
        py3 = hasattr(_sys, 'getswitchinterval')
        self._getswitch = _sys.getswitchinterval if py3 else _sys.getcheckinterval
        self._setswitch = _sys.setswitchinterval if py3 else _sys.setcheckinterval
        self._switch = self._getswitch()

    def take(self):
        """After user code: sets its debugger aside, and undoes what would harm."""
        self._trace, self._profile = self._gettrace(), self._getprofile()
        if self._trace is not None:
            self._settrace(None)
        if self._profile is not None:
            self._setprofile(None)
        if self._getswitch() > self._switch:
            self._setswitch(self._switch)

    def give(self):
        """Before user code."""
        if self._trace is not None:
            self._settrace(self._trace)
        if self._profile is not None:
            self._setprofile(self._profile)


def high(fd, move=False):
    """A copy of a descriptor, far above those that user code gets and might close; closes the first one if move.

    os.closerange(3, 256) in a handler, as in code that makes a daemon, then leaves the runtime's connections alone.
    """
    soft, _ = _getrlimit(_NOFILE)
    try:
        copy = _fcntl(fd, _DUPFD, 700 if soft < 0 or soft > 1000 else max(3, soft // 2))
        close_on_exec(copy)
    except (OSError, IOError):
        return fd
    if move:
        _close(fd)
    return copy


def close_on_exec(fd):
    """Programs that user code starts don't get it."""
    _fcntl(fd, _SETFD, _CLOEXEC)


_fcntl, _DUPFD, _SETFD, _CLOEXEC = fcntl.fcntl, fcntl.F_DUPFD, fcntl.F_SETFD, fcntl.FD_CLOEXEC
_getrlimit, _NOFILE, _close = resource.getrlimit, resource.RLIMIT_NOFILE, os.close


def forget(name):
    """Takes a variable out of the environment, also out of what /proc/self/environ shows. Returns its value or None."""
    value = os.environ.get(name)
    if value is None:
        return None
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    place = getenv(name.encode('ascii'))
    if place:
        ctypes.memset(place, 0, len(value))
    del os.environ[name]
    first = sys.modules[os.name].environ  # what the interpreter has started with
    first.pop(name if str is bytes else name.encode('ascii'), None)
    return value
