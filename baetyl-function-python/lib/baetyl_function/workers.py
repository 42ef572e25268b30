"""Functions whose code directories have modules of the same name run in processes of their own.

Python has one table of modules in a process. Two directories with an index.py, or with different versions of one
library, need two processes: changes of the table would break C extensions or pickling.

    caller --> runtime --+--> its own functions (the first group)
                         +--> worker --> the functions of the next group: the pipe over a socket in a private directory

Without shared names, which is usual, there is no worker. A worker ends when the runtime ends, even by SIGKILL: its
standard input is closed then.
"""
from __future__ import absolute_import

import keyword
import os
import re
import sys
import time

import _socket

from . import calls, guard
from .connection import HELLO_1, pack_header, unpack_header
from .own import BUILTINS, allocate_lock, decode, start_new_thread

globals().update(BUILTINS)

ERRORS = (OSError, _socket.error)  # two classes in Python 2
new_socket, _now, _sleep = _socket.socket, time.time, time.sleep
_MODULE = re.compile(r'^([A-Za-z_]\w*)(\..*(py|pyc|so|pyd))?$')


def split(entries):
    """Returns lists of config.Function entries; in each list no two code directories share a module name.

    The result depends on nothing but the entries and the names in their directories: runtime and worker find the same.
    """
    groups = []  # of (directories, names, entries)
    for entry in entries:
        directory = os.path.realpath(entry.codedir)
        names = _names(directory)
        for directories, taken, members in groups:
            if directory in directories or not names & taken:
                break
        else:
            directories, taken, members = set(), set(), []
            groups.append((directories, taken, members))
        directories.add(directory)
        taken |= names
        members.append(entry)
    return [members for _, _, members in groups]


def _names(directory):
    """The names that Python would import from directory."""
    names = set()
    for entry in os.listdir(directory):
        m = _MODULE.match(entry)
        if not m or entry in ('__init__.py', '__init__.pyc', '__pycache__') or keyword.iskeyword(m.group(1)):
            continue
        if m.group(2) or os.path.isdir(os.path.join(directory, entry)):
            names.add(m.group(1))
    return names


class Workers(object):
    """The workers of one runtime. start, ready and stop are called from its main thread."""

    def __init__(self, command, failed):
        """command starts a worker when the number of its group and its address are added. failed(text) is called, from
        another thread, when a worker ends on its own."""
        self._command, self._failed = command, failed
        self._directory, self._workers, self._stopping = None, [], False
        self._functions = {}  # name -> _Worker

    def start(self, groups):
        """Starts a worker for each group but the first."""
        if len(groups) < 2:
            return
        import shutil  # few instances have workers, and these take time and memory
        import tempfile
        self._rmtree = shutil.rmtree
        self._directory = tempfile.mkdtemp(prefix='baetyl-function-')  # mode 0700: no one else can call
        for i, entries in enumerate(groups[1:], 1):
            worker = _Worker(self._command + [str(i)], '%s/%d.sock' % (self._directory, i))
            self._workers.append(worker)
            self._functions.update((e.name, worker) for e in entries)

    def ready(self):
        """Blocks until each worker has imported its functions. Returns False when one has ended instead."""
        for worker in self._workers:
            while not worker.connect():
                if worker.process.poll() is not None:
                    return False
                _sleep(0.01)
        for worker in self._workers:
            start_new_thread(self._watch, (worker.process,))
        return True

    def _watch(self, process):
        process.wait()
        if not self._stopping:
            self._failed('worker %d ended with status %s' % (process.pid, process.returncode))

    def has(self, name):
        return name in self._functions

    def call(self, request, call):
        """Runs the call in its worker; returns the bytes of the answer. Raises calls.Refused."""
        return self._functions[request.FunctionName].call(request, call)

    def forget(self):
        """In a child of fork: what is the parent's is closed."""
        for worker in self._workers:
            worker.forget()

    def stop(self, grace):
        """Ends the workers, and kills those that still run after grace seconds."""
        self._stopping = True
        for worker in self._workers:
            worker.process.stdin.close()
        end = _now() + grace
        for worker in self._workers:
            while worker.process.poll() is None:  # Python 2 has no wait with a timeout
                if _now() > end:
                    worker.process.kill()
                _sleep(0.02)
        if self._directory:
            self._rmtree(self._directory, ignore_errors=True)


class _Worker(object):
    """One worker, and the connections to it that no call uses. A connection has one call at a time."""

    def __init__(self, command, path):
        self._path, self._free = path, []
        import subprocess
        self.process = subprocess.Popen(command + ['unix:' + path], stdin=subprocess.PIPE)
        guard.close_on_exec(self.process.stdin.fileno())

    def connect(self):
        """Makes a connection. Returns whether that was possible."""
        sock = new_socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            guard.close_on_exec(sock.fileno())
            sock.connect(self._path)
            link = _Link(sock)
        except ERRORS + (EOFError,):
            sock.close()
            return False
        self._free.append(link)
        return True

    def call(self, request, call):
        """Returns the bytes of the answer. Raises calls.Refused."""
        while True:
            try:
                link = self._free.pop()
                break
            except IndexError:
                if not self.connect():
                    raise calls.Refused(calls.UNAVAILABLE, 'the process of the function has ended')
        link.number = link.number % (1 << 31) + 1
        try:
            link.send(0, request.answer(request.Payload))
            if not call.add_callback(link.cancel):
                link.cancel()
            code, body = link.receive()
        except ERRORS + (EOFError,):
            link.close()
            raise calls.Refused(calls.UNAVAILABLE, 'the process of the function has ended')
        self._free.append(link)
        if code != calls.OK:
            raise calls.Refused(code, decode(body, 'replace'))
        return body

    def forget(self):
        self.process.stdin.close()
        for link in self._free:
            link.close()


class _Link(object):
    """A connection of version 1, from the caller's side. It waits for each answer."""

    def __init__(self, sock):
        self.close, self._put, self._recv, self.number = sock.close, sock.sendall, sock.recv, 0
        self._lock = allocate_lock()
        self._put(HELLO_1)
        self._take(len(HELLO_1) + 4)

    def send(self, code, body):
        with self._lock:
            self._put(pack_header(len(body), self.number, code) + body)

    def cancel(self):
        try:
            self.send(calls.CANCELLED, b'')
        except ERRORS:
            pass  # its call sees that, too

    def receive(self):
        """Code and body of the answer."""
        size, _, code = unpack_header(self._take(9), 0)
        return code, self._take(size)

    def _take(self, size):
        parts = []
        while size:
            data = self._recv(min(size, 1 << 20))
            if not data:
                raise EOFError
            parts.append(data)
            size -= len(data)
        return b''.join(parts)


def watch_parent(address, ended):
    """In a worker: removes its socket and calls ended() once the runtime has ended or was killed.

    User code gets an empty standard input instead of the pipe.
    """
    from shutil import rmtree
    pipe, read, dirname = guard.high(0), os.read, os.path.dirname(address[len('unix:'):])
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)

    def wait():
        try:
            while read(pipe, 64):
                pass
        except OSError:
            pass
        rmtree(dirname, ignore_errors=True)
        ended()
    start_new_thread(wait, ())


def command():
    """How to start this program once more, with the same configuration."""
    return [sys.executable, '-u'] + sys.argv + ['--worker']
