"""Why and when the runtime stops: signals, and what user code does to the process.

    SIGTERM, SIGINT --> a byte in a pipe, which the interpreter itself writes --> whoever polls it
    fork            --> the child has none of this: no handlers of signals, no sockets
    os._exit        --> a line in the log that says who called it
"""
from __future__ import absolute_import

try:
    import faulthandler
except ImportError:  # Python 2
    faulthandler = None
import atexit
import fcntl
import os
import sys
import time

try:
    import _signal as c_signal  # signal has functions in Python around it
except ImportError:  # Python 2
    import signal as c_signal

from . import guard
from .own import BUILTINS, start_new_thread

globals().update(BUILTINS)

_SIGNALS = (c_signal.SIGTERM, c_signal.SIGINT)
_set, _get, _set_wakeup = (getattr(c_signal, name) for name in ('signal', 'getsignal', 'set_wakeup_fd'))
_DEFAULT, _IGNORE, _INTERRUPT = c_signal.SIG_DFL, c_signal.SIG_IGN, c_signal.default_int_handler
_exit, _getpid, _kill, _read, _write, _close = os._exit, os.getpid, os.kill, os.read, os.write, os.close
_run_exit_functions = atexit._run_exitfuncs
_sleep, _fork, _frame = time.sleep, os.fork, sys._getframe
_NAMED = sys.version_info[0] > 2  # the byte is the number of the signal


def end(status):
    """Ends the process at once."""
    _exit(status)


def finish(status):
    """Ends the process as a script ends, but does not wait longer than a second for what user code has left behind:
    threads, and handlers that wait inside C."""
    start_new_thread(lambda: (_sleep(1), _exit(status)), ())
    for last in (_run_exit_functions, flush):
        try:
            last()
        except BaseException:
            pass
    _exit(status)


def flush():
    """Writes what print has kept back."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


class Stop(object):
    def __init__(self):
        self.fd, self._write_fd = self.pipe()
        self._pid, self._armed, self._forget = _getpid(), False, []
        self.stopped, self.status, self.reason, self.forked = False, 0, None, False
        self.leave = None

    @staticmethod
    def pipe():
        """Both ends of a pipe that never blocks the writer."""
        ends = [guard.high(fd, move=True) for fd in os.pipe()]
        fcntl.fcntl(ends[1], fcntl.F_SETFL, fcntl.fcntl(ends[1], fcntl.F_GETFL) | os.O_NONBLOCK)
        return ends

    def on_signals(self):
        """Stops at SIGTERM and SIGINT. In the main thread."""
        self._armed = True
        self.arm()

    def arm(self):
        """Again, if user code has taken the signals; asyncio does. In the main thread, before it waits."""
        if not self._armed:
            return
        for number in _SIGNALS:
            if _get(number) != self._on_signal:
                _set(number, self._on_signal)
        _set_wakeup(self._write_fd)

    def _on_signal(self, number, _):
        if _getpid() == self._pid:
            self.now(0)
        else:  # a child that was forked without forget
            _set(number, _DEFAULT)
            _kill(_getpid(), number)

    def now(self, status, reason=None):
        """Stops the runtime with this exit status. From any thread; only the first call counts."""
        if not self.stopped:
            self.status, self.reason, self.stopped = status, reason, True
            try:
                _write(self._write_fd, b'.')
            except OSError:
                pass  # it is full, so that whoever polls wakes up anyway

    def take(self):
        """Reads what has come."""
        data = _read(self.fd, 512)
        if _NAMED and any(number in data for number in _SIGNALS):
            self.now(0)

    def leave_by(self, leave):
        """leave() ends the process at once, when a handler holds the main thread after the grace of the stop."""
        self.leave = leave

    def wait(self):
        """Blocks until now was called."""
        while not self.stopped:
            try:
                self.take()
            except OSError:  # interrupted, in Python 2
                pass

    def ignore(self):
        """A second signal must not change the exit status."""
        self._armed = False
        for number in _SIGNALS:
            _set(number, _IGNORE)

    def guard_process(self, log, forget):
        """From now on children of fork have nothing of the runtime, and os._exit says who called it. forget: what else
        a child has to do."""
        self._forget = forget
        self._modules = dict(sys.modules)  # Python 2 empties a module that user code takes out of there
        if faulthandler is not None:
            faulthandler.enable(log.fd)  # a crash in C says where it was
        if hasattr(os, 'register_at_fork'):
            os.register_at_fork(after_in_child=self._in_child)
        else:
            os.fork = self._wrapped_fork

        def leave(status):
            if _getpid() == self._pid:
                caller = _frame(1)
                log.error('os._exit(%s) at %s:%d ends the instance' % (
                    status, caller.f_code.co_filename, caller.f_lineno))
            _exit(status)
        os._exit = leave

    def _wrapped_fork(self):
        pid = _fork()
        if pid == 0:
            self._in_child()
        return pid

    def _in_child(self):
        if self._pid == _getpid():
            return
        self.forked = True
        try:
            _set_wakeup(-1)
            _set(c_signal.SIGTERM, _DEFAULT)
            _set(c_signal.SIGINT, _INTERRUPT)
        except ValueError:
            pass  # user code forked in another thread
        for fd in (self.fd, self._write_fd):
            _close(fd)
        for forget in self._forget:
            forget()

    def leave_child(self, error=None):
        """Ends a child of fork that has come out of its handler, as a script would end."""
        code = getattr(error, 'code', 1) if isinstance(error, SystemExit) else int(error is not None)
        flush()
        _exit(code if isinstance(code, int) else int(code is not None))
