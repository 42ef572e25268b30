"""Handlers that replace, close or change what the runtime might need. The call after each has to be right.

TestHostile calls them one after the other in one instance, and again all of them while the module is imported.
"""
import codecs
import collections
import fcntl
import gc
import hashlib
import hmac
import importlib
import json
import json.decoder
import json.encoder
import json.scanner
import linecache
import locale
import logging
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import warnings

try:
    import builtins
    import _thread
except ImportError:
    import __builtin__ as builtins
    import thread as _thread


def broken(*args, **kwargs):
    raise RuntimeError('a handler has replaced this')


def _replace(module, *names):
    for name in names or [n for n in dir(module) if not n.startswith('__')]:
        try:
            setattr(module, name, broken)
        except (AttributeError, TypeError):
            pass


def json_module(event, context):
    json.dumps = json.loads = lambda *a, **k: 'x'
    json.JSONEncoder.default = json.JSONDecoder.decode = broken
    _replace(json.encoder)
    _replace(json.decoder)
    _replace(json.scanner)


def struct_module(event, context):
    _replace(struct)


def socket_module(event, context):
    for name in ('recv', 'send', 'sendall', 'close', 'accept', 'fileno', 'shutdown', 'setblocking'):
        setattr(socket.socket, name, broken)
    _replace(socket, 'socket', 'error', 'getaddrinfo')
    socket.setdefaulttimeout(0.001)


def select_module(event, context):
    _replace(select)


def threads(event, context):
    _replace(threading, 'Thread', 'Lock', 'RLock', 'Semaphore', 'Condition', 'Event')
    _replace(_thread)


def clock(event, context):
    _replace(time)


def standard_streams(event, context):
    sys.stdout.close()
    sys.stderr.close()
    sys.stdout = sys.stderr = None


def stderr_closed(event, context):
    os.close(2)
    os.close(1)


def codecs_module(event, context):
    _replace(codecs)


def signals(event, context):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)


def alarms(event, context):
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)


def os_module(event, context):
    _replace(os, 'read', 'write', 'close', 'open', 'stat', 'fstat', 'getpid', 'fork', '_exit', 'kill', 'urandom', 'dup',
             'unlink', 'rename', 'cpu_count')
    _replace(os.path, 'abspath', 'dirname', 'join', 'exists', 'isdir', 'splitext')


def limits(event, context):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, most))


def fcntl_module(event, context):
    _replace(fcntl)
    _replace(resource, 'getrlimit')


def garbage(event, context):
    gc.disable()
    gc.set_threshold(1)
    gc.enable()


def switch_interval(event, context):
    getattr(sys, 'setswitchinterval', getattr(sys, 'setcheckinterval', None))(10 ** 6)


def tracer(event, context):
    threading.settrace(broken)
    sys.settrace(broken)


def profiler(event, context):
    def profile(frame, kind, arg):
        if 'baetyl_function' in frame.f_code.co_filename:
            raise RuntimeError('profiled the runtime')
    sys.setprofile(profile)


def descriptors(event, context):
    os.closerange(3, 256)


def directory(event, context):
    os.chdir('/')
    os.umask(0o777)


def warnings_are_errors(event, context):
    warnings.simplefilter('error')
    _replace(warnings)


def recursion(event, context):
    for depth in range(5, 1000):
        try:
            return sys.setrecursionlimit(depth)
        except (RuntimeError, ValueError):
            pass


def integers(event, context):
    if hasattr(sys, 'set_int_max_str_digits'):
        sys.set_int_max_str_digits(0)


def environment(event, context):
    os.environ.clear()


def tracebacks(event, context):
    _replace(traceback)
    _replace(linecache)


def logging_module(event, context):
    logging.disable(logging.CRITICAL)
    logging.shutdown()
    _replace(logging.Logger, 'handle', 'callHandlers', '_log')
    logging.getLogger().handlers[:] = []


def hashes(event, context):
    _replace(hashlib)
    _replace(hmac)


def collections_module(event, context):
    _replace(collections)


def language(event, context):
    locale.setlocale(locale.LC_ALL, 'C')


def hooks(event, context):
    sys.excepthook = sys.displayhook = broken
    sys.exitfunc = broken


def system(event, context):
    _replace(sys, 'exc_info', '_getframe', 'gettrace', 'getrecursionlimit', 'setrecursionlimit', 'getswitchinterval')


def imports(event, context):
    importlib.import_module = broken
    builtins.__import__ = broken
    sys.meta_path[:], sys.path_hooks[:], sys.path[:] = [], [], []


def modules(event, context):
    for name in list(sys.modules):
        if name.split('.')[0] in ('baetyl_function', 'json', 'struct', 'socket', 'threading', 'logging', 'traceback',
                                  'encodings', 'codecs', 're', 'yaml', 'ctypes', 'asyncio'):
            del sys.modules[name]


def builtin_functions(event, context, has=hasattr, put=setattr):
    for name in ('len', 'isinstance', 'type', 'str', 'bytes', 'dict', 'list', 'set', 'map', 'getattr', 'hasattr', 'repr',
                 'int', 'float', 'min', 'max', 'sorted', 'range', 'iter', 'next', 'enumerate', 'open', 'print', 'super',
                 'Exception', 'BaseException', 'ValueError', 'TypeError', 'OSError', 'KeyError', 'object', 'memoryview'):
        if has(builtins, name):
            put(builtins, name, broken)
