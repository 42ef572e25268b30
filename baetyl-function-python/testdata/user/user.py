# -*- coding: utf-8 -*-
"""Functions that use what Python has: the main thread, processes, logging, errors of all kinds."""
import collections
import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

database = sqlite3.connect(':memory:')  # only the thread that made it may use it
log = logging.getLogger('user.py')


def main_thread(event, context):
    database.execute('select 1')
    signal.signal(signal.SIGALRM, lambda *_: None)
    if sys.version_info >= (3, 6):
        import asyncio
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            asyncio.get_event_loop()
    return threading.current_thread().name


def square(number):
    return number * number


def pool(event, context):
    workers = multiprocessing.Pool(2)
    result = workers.map(square, [1, 2, 3])
    workers.terminate()
    workers.join()
    return result


def fork(event, context):
    """Returns from the handler twice, in two processes."""
    pid = os.fork()
    if pid and event.get('wait'):
        os.waitpid(pid, 0)
    return {'child': not pid}


def fork_holds(event, context):
    """Leaves a child that outlives the call; returns its descriptors of sockets."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        sockets = [l for l in (link('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd')) if 'socket' in l]
        os.write(write, json.dumps(sockets).encode('utf-8'))
        time.sleep(3600)
    return os.read(read, 4096)


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ''


def program_holds(event, context):
    """The descriptors that a program gets."""
    out = subprocess.Popen(['ls', '-l', '/proc/self/fd'], stdout=subprocess.PIPE, close_fds=False).communicate()[0]
    return out.decode('utf-8')


def secret(event, context):
    child = subprocess.Popen(['env'], stdout=subprocess.PIPE).communicate()[0]
    with open('/proc/self/environ', 'rb') as f:
        own = f.read()
    first = repr(sys.modules['posix'].environ)
    return (child + own).decode('utf-8', 'replace') + first + repr(dict(os.environ))


def append(event, context):
    """Notes when it ran, in which order."""
    with open('order', 'a') as f:
        f.write('%s\n' % event['n'])
    end = time.time() + event.get('seconds', 0)
    while time.time() < end:
        time.sleep(0.005)
    return event['n']


def logs(event, context):
    logging.info('said at level %s', 'info')
    logging.debug('said at level debug')
    log.warning(u'größe')
    try:
        raise ValueError('caught')
    except ValueError:
        log.exception('with a traceback')
    own = logging.getLogger('own')
    if not own.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter('mine: %(message)s'))
        own.addHandler(handler)
    own.warning('said by a handler of my own')


def logs_configured(event, context):
    logging.basicConfig(stream=sys.stdout, level=logging.DEBUG, format='configured: %(message)s')
    logging.debug('said after basicConfig')


class Mute(Exception):
    def __str__(self):
        raise KeyboardInterrupt('no text')

    __repr__ = __str__


class Meta(type):
    @property
    def __name__(cls):
        raise ValueError('no name')


Nameless = Meta('Nameless', (Exception,), {})


def fails(event, context):
    how = event['how']
    if how == 'mute':
        raise Mute()
    if how == 'nameless':
        raise Nameless()
    if how == 'recursion':
        return fails(event, context)
    if how == 'memory':
        raise MemoryError()
    if how == 'generator':
        raise GeneratorExit('left')
    if how == 'library':
        return json.loads('{')
    if how == 'group':
        raise ExceptionGroup('several', [ValueError('a'), TypeError('b')])
    if how == 'cause':
        try:
            raise ValueError('first')
        except ValueError:
            raise KeyError('second')
    os._exit(0)


class Text(str):
    pass


class Number(int):
    pass


Pair = collections.namedtuple('Pair', 'a b')


def publishes(event, context):
    cycle = []
    cycle.append(cycle)
    return {
        'doubled': {1: 'a', '1': 'b'}, 'doubled true': {True: 1, 'true': 2}, 'doubled below': [{'x': {None: 1, 'null': 2}}],
        'NaN': {'a': float('nan')}, 'Infinity': [1.0, float('-inf')], 'set': {'a': [set()]}, 'generator': (i for i in []),
        'cycle': cycle, 'tuple as key': {(1, 2): 3}, 'object': {'a': object()}, 'class': [dict], 'range': iter([]),
        'numbers as keys': {1: 'a', 2.5: 'b', None: 'c'}, 'subclasses': [Text('t'), Number(5), Pair(1, 2),
                                                                         collections.OrderedDict([('z', 1), ('a', 2)])],
        'surrogate': u'\ud800', 'empty': [], 'bytes below': {'a': b'\xff'}, 'complex': 1j,
    }[event['what']]
