"""Imports the users' functions and calls them: event -> handler(event, context) -> result, and says what went wrong.

Nothing here knows the transport.
"""
from __future__ import absolute_import

import importlib
import os
import sys
import traceback

from .guard import CallEnded
from .own import BUILTINS, decode, encode, text_type

globals().update(BUILTINS)

_format, _import, _modules, _exc_info = traceback.format_exception, importlib.import_module, sys.modules, sys.exc_info
_abspath, _dirname, _basename, _stat, _remove, _SEP = (
    os.path.abspath, os.path.dirname, os.path.basename, os.stat, os.remove, os.sep)
_OURS = tuple(_dirname(_abspath(f)) + _SEP for f in (__file__, importlib.__file__)) + ('<frozen importlib',)
_PLAIN = frozenset((dict, list, str, bytes, int, float, bool, type(None)))
_get_depth, _set_depth, _DEPTH = sys.getrecursionlimit, sys.setrecursionlimit, sys.getrecursionlimit()
_TRIES = (1, 2, 3)
_TEXT_MAX = 300  # characters of an error in a line


class LoadError(Exception):
    """One line: key path, function, cause. trace has the lines of its traceback."""
    trace = u''


def load(entries):
    """Imports the functions of config.Function entries; returns {name: Function}. Raises LoadError.

    The code directories go to the front of sys.path, as the directory of a script does when it is run by hand. Two code
    directories that have a module of the same name must not come here together, see workers.split.
    """
    if any(e.watch for e in entries):
        sys.dont_write_bytecode = True  # a compiled file does not tell two versions of one second apart
    for codedir in reversed([_abspath(e.codedir) for e in entries]):
        if codedir not in sys.path:
            sys.path.insert(0, codedir)
    return dict((e.name, Function(e)) for e in entries)


class Function(object):
    """One function: its handler, and with watch the files that it came from."""

    def __init__(self, entry):
        self._entry, self._codedir = entry, _abspath(entry.codedir) + _SEP
        self._handler = self._load()
        self._files = self._state() if entry.watch else None

    def _load(self):
        entry = self._entry
        module_name, _, attribute = entry.handler.rpartition('.')
        try:
            try:
                module = _import(module_name)
            finally:
                if _get_depth() < _DEPTH:
                    _set_depth(_DEPTH)
        except BaseException as e:  # sys.exit() in user code, too
            failed = failure(e, self._codedir)
            error = LoadError("%s.handler: import '%s' of function '%s' from %s: %s"
                              % (entry.path, entry.handler, entry.name, entry.codedir, failed.line))
            error.trace = failed.trace
            raise error
        where = getattr(module, '__file__', None) or 'the interpreter itself'
        if not where.startswith(self._codedir):
            raise LoadError("%s.handler: module '%s' of function '%s' is not the one in %s, its name belongs to %s; "
                            "rename it" % (entry.path, module_name, entry.name, entry.codedir, where))
        handler = getattr(module, attribute, None)
        if not callable(handler):
            raise LoadError("%s.handler: no function '%s' in %s, which function '%s' names"
                            % (entry.path, attribute, where, entry.name))
        return handler

    def call(self, event, context, guard, settings):
        """The result of the handler. Raises what it raises. guard is that of the call, which runs this; settings are
        guard.Settings."""
        settings.give()
        try:
            result = self._handler(event, context)
        finally:
            for _ in _TRIES:  # a tracer or a profiler of the handler may raise here, and is gone then
                try:
                    if _get_depth() < _DEPTH:  # Python 2 would not even call take
                        _set_depth(_DEPTH)
                    settings.take()
                    break
                except BaseException:
                    pass
        if type(result) in _PLAIN or not hasattr(type(result), '__await__'):
            return result
        settings.give()
        try:
            return _wait(result, guard)
        finally:
            settings.take()

    def failure(self, error):
        """The Failure of an error that call has raised."""
        return failure(error, self._codedir)

    def reload(self, log):
        """With watch: loads the handler again if a file of its code has changed. An error leaves the old one."""
        if self._files is None:
            return
        files = self._state()
        if files == self._files:
            return
        old = dict((name, m) for name, m in _modules.items() if self._is_mine(m))
        for name, module in old.items():
            del _modules[name]
            for compiled in (getattr(module, '__cached__', None), module.__file__ + 'c'):
                try:
                    _remove(compiled)
                except (OSError, TypeError):
                    pass
        if hasattr(importlib, 'invalidate_caches'):
            importlib.invalidate_caches()
        try:
            self._handler = self._load()
            log.info('function %s: loaded again, since its code has changed' % self._entry.name)
        except LoadError as e:
            for name in [name for name, m in _modules.items() if self._is_mine(m)]:
                del _modules[name]
            _modules.update(old)
            log.error('function %s: its code has changed and can\'t be loaded; the one before goes on: %s'
                      % (self._entry.name, e), trace=e.trace)
        self._files = dict(self._state(), **dict((name, files[name]) for name in files))

    def _is_mine(self, module):
        file = getattr(module, '__file__', None)
        return isinstance(file, str) and file.startswith(self._codedir)

    def _state(self):
        """What tells whether a file has changed, for each module of the code directory that is loaded."""
        state = {}
        for name, module in list(_modules.items()):
            if self._is_mine(module):
                file = module.__file__[:-1] if module.__file__.endswith('.pyc') else module.__file__
                try:
                    s = _stat(file)
                    state[name] = (s.st_mtime, s.st_size, s.st_ino)
                except OSError:
                    state[name] = None
        return state


def _wait(awaitable, guard):
    """The result of what an `async def` returns, in the event loop of this thread, which lives on."""
    asyncio = _import('asyncio')
    try:
        loop = asyncio.get_event_loop()
    except Exception:  # there is none; a warning that user code has made an error
        loop = None
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    guard.wake = lambda: loop.call_soon_threadsafe(int)
    try:
        return loop.run_until_complete(awaitable)
    except CallEnded:  # somewhere in the loop, which may be half done
        asyncio.set_event_loop(None)
        loop.close()
        raise


class Failure(object):
    """What is said of an error: line (type: text (file:line)), place (file:line), trace (lines)."""

    def __init__(self, line, place, trace):
        self.line, self.place, self.trace = line, place, trace


def failure(error, codedir):
    """The Failure of an exception that was caught. Whatever the methods of the exception do, there is a line."""
    trace = user_part(getattr(error, '__traceback__', None) or _exc_info()[2])
    name = kind(error)
    text = ' '.join(safe(error).split())
    if len(text) > _TEXT_MAX:
        text = text[:_TEXT_MAX] + '...'
    place = _place(error, trace, codedir)
    line = '%s: %s' % (name, text) if text else name
    try:
        lines = ''.join(_format(type(error), error, trace))
    except BaseException:  # user code has replaced parts of it, or a method of the exception fails
        lines = 'Traceback:\n' + ''.join('  File "%s", line %d\n' % (f, n) for f, n in _frames(trace)) + line
    line = '%s (%s)' % (line, place) if place else line
    return Failure(*(t if isinstance(t, text_type) else decode(t, 'replace') for t in (line, place, lines)))


def safe(error):
    """The text of an error, or what happened instead."""
    try:
        try:
            return str(error)
        except UnicodeError:  # Python 2
            return encode(text_type(error))
    except BaseException as e:
        return '<its text can\'t be had: %s>' % kind(e)


def kind(error):
    try:
        name = type(error).__name__
        return name if isinstance(name, str) else 'error'
    except BaseException:
        return 'error'


def user_part(trace):
    """The part of a traceback that is below this package and Python's import; None when there is none."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace


def _frames(trace):
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def _place(error, trace, codedir):
    """File and line of the last frame of the user's code, else of the last one."""
    if isinstance(error, SyntaxError) and isinstance(error.filename, str) and isinstance(error.lineno, int):
        frames = [(error.filename, error.lineno)]
    else:
        frames = list(_frames(trace))
    mine = [f for f in frames if f[0].startswith(codedir)]
    if not frames:
        return ''
    file, line = (mine or frames)[-1]
    return '%s:%d' % (file[len(codedir):] if file.startswith(codedir) else file, line)
