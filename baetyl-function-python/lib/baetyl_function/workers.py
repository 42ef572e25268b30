"""Functions whose code directories have modules of the same name run in processes of their own.

Python has one table of modules in a process. Two directories with an index.py, or with different versions of one
library, need two processes: changes of the table would break C extensions or pickling.

    caller --> runtime --+--> its own functions (the first group)
                         +--> worker --> the functions of the next group, over a unix socket in a private directory

Without shared names, which is usual, there is no worker. A worker ends when the runtime ends, even by SIGKILL: its
standard input is closed then.
"""
from __future__ import absolute_import

import keyword
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from . import calls, function_pb2

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
        self._directory, self._processes, self._channels, self._stopping = None, [], [], False
        self._stubs = {}  # function name -> callable

    def start(self, groups):
        """Starts a worker for each group but the first."""
        if len(groups) < 2:
            return
        import grpc  # only with workers: it takes a tenth of a second
        self._directory = tempfile.mkdtemp(prefix='baetyl-function-')  # mode 0700: no one else can call
        for i, entries in enumerate(groups[1:], 1):
            address = 'unix:%s/%d.sock' % (self._directory, i)
            process = subprocess.Popen(self._command + [str(i), address], stdin=subprocess.PIPE)
            self._processes.append(process)
            # The runtime checks the limits. Between it and its workers there are none.
            channel = grpc.insecure_channel(address, options=[
                ('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1),
                ('grpc.enable_http_proxy', 0), ('grpc.initial_reconnect_backoff_ms', 100),
                ('grpc.min_reconnect_backoff_ms', 100), ('grpc.max_reconnect_backoff_ms', 200)])
            self._channels.append(channel)
            stub = channel.unary_unary('/baetyl.Function/Call', function_pb2.FunctionMessage.SerializeToString,
                                       function_pb2.FunctionMessage.FromString)
            self._stubs.update((e.name, stub) for e in entries)

    def ready(self):
        """Blocks until each worker has imported its functions. Returns False when one has ended instead."""
        if not self._processes:
            return True
        import grpc
        for process, channel in zip(self._processes, self._channels):
            future = grpc.channel_ready_future(channel)
            while True:
                try:
                    future.result(timeout=0.2)
                    break
                except grpc.FutureTimeoutError:
                    if process.poll() is not None:
                        future.cancel()
                        return False
        for process in self._processes:
            watcher = threading.Thread(target=self._watch, args=(process,))
            watcher.daemon = True
            watcher.start()
        return True

    def _watch(self, process):
        process.wait()
        if not self._stopping:
            self._failed('worker %d ended with status %s' % (process.pid, process.returncode))

    def has(self, name):
        return name in self._stubs

    def call(self, request, call):
        """Runs the call in its worker. Raises calls.Refused."""
        import grpc
        future = self._stubs[request.FunctionName].future(request, timeout=call.time_remaining())
        if not call.add_callback(future.cancel):
            future.cancel()
        try:
            return future.result()
        except grpc.RpcError as e:
            raise calls.Refused(e.code().value[0], e.details())
        except grpc.FutureCancelledError:
            raise calls.Refused(calls.CANCELLED, 'the caller is gone')

    def stop(self, grace):
        """Ends the workers, and kills those that still run after grace seconds."""
        self._stopping = True
        for process in self._processes:
            process.stdin.close()
        end = time.time() + grace
        for process in self._processes:
            while process.poll() is None:  # Python 2 has no wait with a timeout
                if time.time() > end:
                    process.kill()
                time.sleep(0.02)
        for channel in self._channels:
            channel.close()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)


def watch_parent(address, ended):
    """In a worker: removes its socket and calls ended() once the runtime has ended or was killed.

    User code gets an empty standard input instead of the pipe.
    """
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)

    def wait():
        try:
            while os.read(pipe, 64):
                pass
        except OSError:
            pass
        shutil.rmtree(os.path.dirname(address[len('unix:'):]), ignore_errors=True)
        ended()
    watcher = threading.Thread(target=wait)
    watcher.daemon = True
    watcher.start()


def command():
    """How to start this program once more, with the same configuration."""
    return [sys.executable, '-u'] + sys.argv + ['--worker']
