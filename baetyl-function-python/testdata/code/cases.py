# -*- coding: utf-8 -*-
"""The functions that functiontest.Suite calls, and a few for Python alone."""
from __future__ import print_function

import os
import sys
import threading
import time

import beside

number = 5
_error, _text, _object, _python3 = TypeError, str, object, sys.version_info > (3,)  # hostile handlers replace them


def echo(event, context):
    return event


def context(event, context):
    return context


def none(event, context):
    pass


def fail(event, context):
    raise _error(_text(event['text'])) if _python3 else _error(event['text'].encode('utf-8'))


def strange(event, context):
    return _object()


def sleep(event, context):
    if 'text' in event:
        print(event['text'])
    end = time.time() + event['seconds']
    while time.time() < end:  # Python 2 returns when a signal comes
        time.sleep(max(0, end - time.time()))
    return event


def big(event, context):
    return u'x' * event['length']


def env(event, context):
    return dict(os.environ)


def pid(event, context):
    return os.getpid()


def log(event, context):
    print(event['text'])


def name_beside(event, context):
    return beside.NAME


def leave(event, context):
    raise {'exit': SystemExit(3), 'interrupt': KeyboardInterrupt()}[event['how']]


def spin(event, context):
    print('spinning')
    while True:
        try:
            int()  # CPython 3.10 never looks up in a loop that starts with try and calls nothing
        except Exception:
            pass


def background(event, context):
    threading.Thread(target=time.sleep, args=(3600,)).start()


def die(event, context):
    os._exit(9)


def stdin(event, context):
    return sys.stdin.read()


def python_bytes(event, context):
    return b'\x00\xff'


class Bad(Exception):
    def __repr__(self):
        raise ValueError('no repr')

    __str__ = __repr__


def bad_error(event, context):
    raise Bad()
