"""Calls over the pipe: frames on a plain connection, for a function manager that asks for it.

gRPC takes several times the work of a call, 15 MB, and 100 ms at the start, and an instance of the function manager
does not need what it adds.

    connections --frames--> queue --> handler, in the order of the frames --> answer

One thread polls the connections: the one that then runs the call. So with one call at a time all of it is done by the
main thread, which is what signal, sqlite3 and asyncio in user code expect, and no call is handed from thread to thread.
While a handler takes longer than a moment, a watcher polls in its place: it learns of canceled calls, of what is to
wait, and of the end. For several calls at once there are further threads that do as the main thread does.
"""
from __future__ import absolute_import

import errno
import os
import select
import time as clock
from collections import deque

from . import calls, sockets
from .connection import BODY_MAX, FAR, HELLO_SECONDS, Connection, Secret
from .own import BUILTINS, allocate_lock, start_new_thread
from .sockets import ERRORS
from .watcher import MOMENT, Watcher

globals().update(BUILTINS)

_CALLS_MAX = 1024  # version 1: calls at once, running or not, when concurrent.max is not set
_QUEUE = 64  # version 2: calls that wait here
_QUEUE_BYTES = 4 << 20  # while more than that waits, connections are not read
_CONNECTIONS = 64  # the manager needs one; a stranger's oldest one without a hello makes place
_now = getattr(clock, 'monotonic', clock.time)
_sleep, _IN, _poll_error = clock.sleep, select.POLLIN, select.error
_HUNG_UP = getattr(select, 'POLLRDHUP', 0x2000)  # not all versions name it
_read, _write = os.read, os.write


class Server(object):
    """Serves calls.Calls until stop, a stop.Stop, says so."""

    def __init__(self, handled, stop, secret=None, concurrent=None):
        self._calls, self._stop = handled, stop
        self.secret = Secret(secret) if secret else None
        self._concurrent = concurrent
        self._role = allocate_lock()  # held by the thread that polls
        self._state = allocate_lock()  # guards what follows
        self._ready, self._bytes, self._unanswered, self.running = deque(), 0, 0, set()
        self._idle, self._threads, self.began = 0, 1, 0
        self._watching, self._stopping, self._deadline = False, False, None
        self._watcher = Watcher(self)
        self._poll, self._by_fd, self._strangers, self._paused = select.poll(), {}, [], False
        self._nudge_read, self._nudge_write = stop.pipe()

    def listen(self, config):
        """Opens the address of config.Server. Raises calls.AddressError."""
        most = config.concurrent or _CALLS_MAX
        if self.secret is None:
            self.concurrent = min(calls.workers(config), most)
            self.queue = most - self.concurrent
        else:
            self.concurrent = min(self._concurrent or 1, config.workers or _CALLS_MAX, most)
            self.queue = min(_QUEUE, most - self.concurrent)
        self.limit = min(config.message_length, BODY_MAX) if config.message_length > 0 else BODY_MAX
        self._grace = config.timeout
        self._listener = sockets.listen(config.address)
        self._listening = self._listener.fileno()
        for fd in (self._listening, self._nudge_read, self._stop.fd):
            self._poll.register(fd, _IN)
        self._watcher.start()

    def serve(self):
        """Runs calls in this thread, the main thread, and returns when all have ended after stop."""
        self._work(True)

    def stop(self, _):
        """Ends the connections: serve has waited for the calls."""
        for connection in list(self._by_fd.values()):
            connection.end()

    def _work(self, main=False):
        call = self._next(main)
        while call is not None:
            self._run(call)
            call = self._next(main)

    def _next(self, main):
        """The next call, or None at the end."""
        while True:
            with self._state:
                if self._ready:
                    return self._begin()
                if self._stopping and not (main and self.running):
                    return None
                self._idle += 1
            try:
                if not self._role.acquire(False):
                    self._ask(main)
                try:
                    if not (self._ready or self._stopping and not (main and self.running)):
                        if main:
                            self._stop.arm()
                        self._step()
                finally:
                    self._role.release()
            finally:
                with self._state:
                    self._idle -= 1

    def _ask(self, main):
        """Waits for the role of polling. The watcher gives it back when it is asked."""
        if self._watching:
            _write(self._nudge_write, b'.')
        if main and str is bytes:  # Python 2 handles no signal in a thread that waits for a lock
            while not self._role.acquire(False):
                _sleep(MOMENT)
        else:
            self._role.acquire()

    def _begin(self):
        call = self._ready.popleft()
        self._bytes -= call.size
        self.running.add(call)
        self.began += 1
        self._watcher.wake()
        if not self._idle and (self._ready or self.secret is not None):
            self._grow()
        return call

    def _grow(self):
        """One more thread for calls."""
        if self._threads < self.concurrent:
            try:
                start_new_thread(self._work, ())
                self._threads += 1
            except Exception:
                pass  # no memory or too many processes: those that run take the calls

    def _run(self, call):
        connection = call.connection
        try:
            code, body = calls.OK, self._calls.run(call.message, call)
            if len(body) > self.limit:
                code, body = calls.RESOURCE_EXHAUSTED, connection.too_large(len(body))
        except calls.Refused as e:
            code, body = e.code, e.detail
        with self._state:
            connection.calls.pop(call.number, None)
            self._unanswered -= 1
        if connection.open:
            connection.answer(call.number, code, body)
        with self._state:
            self.running.discard(call)
        if self._stopping:
            _write(self._nudge_write, b'.')  # the main thread waits for the last one

    def watch(self, began):
        """For the watcher: polls while no call ends or begins, if the threads of calls are too busy for that."""
        if self._idle or not self.running or not self._role.acquire(False):
            return
        self._watching = True
        try:
            while not self._idle and self.running and began == self.began:
                self._step()
        finally:
            self._watching = False
            self._role.release()

    def _step(self):
        """Waits for something and takes it in. Only with the role."""
        self._pause(self._bytes > _QUEUE_BYTES)
        try:
            events = self._poll.poll(self._timeout())
        except _poll_error as e:  # Python 2: interrupted by a signal
            if e.args[0] != errno.EINTR:
                raise
            return
        for fd, event in events:
            connection = self._by_fd.get(fd)
            if connection is not None:
                try:
                    connection.read() if event & _IN else connection.end()
                except MemoryError:
                    connection.end()
            elif fd == self._listening:
                self._accept()
            elif fd == self._nudge_read:
                _read(fd, 512)
            elif fd == self._stop.fd:
                self._stop.take()
        if self._ready and not self._idle:
            with self._state:
                self._grow()
        if self._stop.stopped and not self._stopping:
            self._begin_stop()
        self._expire()

    def _pause(self, pause):
        """Reads the connections, or does not while too much waits."""
        if pause != self._paused:
            self._paused = pause
            for fd in self._by_fd:
                self._poll.modify(fd, _HUNG_UP if pause else _IN)

    def _timeout(self):
        """Milliseconds until _expire has to do something; None: never."""
        if not self._strangers and self._deadline is None:
            return None
        first = min([c.until for c in self._strangers] + [self._deadline or FAR])
        return max(0, int((first - _now()) * 1000) + 1)

    def _expire(self):
        if not self._strangers and self._deadline is None:
            return
        now = _now()
        self._strangers = [c for c in self._strangers if c.open and c.until < FAR]
        for connection in [c for c in self._strangers if c.until <= now]:
            connection.end()
        if self._deadline is not None and self._deadline <= now:
            if self._grace is None:
                self._stop.leave()
            self._grace, self._deadline = None, now + 1
            for call in list(self.running):
                call.cancel()

    def _begin_stop(self):
        """Takes no new calls; those that run have some time."""
        try:
            self._poll.unregister(self._listening)
            self._listener.close()
        except (KeyError,) + ERRORS:
            pass  # user code has closed it
        self._stopping, self._deadline = True, _now() + self._grace
        for call in list(self._ready):
            self._drop(call, calls.UNAVAILABLE, 'the instance is stopping')

    def _accept(self):
        try:
            sock = sockets.accept(self._listener)
        except ERRORS as e:
            if e.errno in (errno.EBADF, errno.ENOTSOCK, errno.EINVAL):  # user code has closed it
                self._poll.unregister(self._listening)
            elif e.errno not in (errno.EAGAIN, errno.EINTR, errno.ECONNABORTED):
                _sleep(0.01)  # too many open files, most likely
            return
        if len(self._by_fd) >= _CONNECTIONS:
            oldest = next((c for c in self._strangers if c.open and c.until < FAR), None)
            if oldest is None:
                return sock.close()
            oldest.end()
        connection = Connection(self, sock, _now() + HELLO_SECONDS)
        self._by_fd[connection.fd] = connection
        self._strangers.append(connection)
        self._poll.register(connection.fd, _IN)

    def arrived(self, call):
        """A call has come."""
        if self._stopping:
            return self._drop(call, calls.UNAVAILABLE, 'the instance is stopping')
        with self._state:
            full = self._unanswered >= self.concurrent + self.queue
            if not full:
                self._ready.append(call)
                self._bytes += call.size
                self._unanswered += 1
        if full:
            self._drop(call, calls.RESOURCE_EXHAUSTED, 'Concurrent RPC limit exceeded!')

    def canceled(self, call):
        """The caller does not wait any more."""
        call.cancel()
        self._drop(call, calls.CANCELLED, 'the caller is gone', waiting=True)

    def ended(self, connection):
        """The connection is closed."""
        self._by_fd.pop(connection.fd, None)
        self._poll.unregister(connection.fd)
        for call in list(connection.calls.values()):
            self.canceled(call)

    def _drop(self, call, code, detail, waiting=False):
        """Answers a call that does not run. waiting: only if it is in the queue."""
        with self._state:
            try:
                self._ready.remove(call)
                self._bytes -= call.size
                self._unanswered -= 1
            except ValueError:
                if waiting:
                    return
        call.connection.calls.pop(call.number, None)
        if call.connection.open:
            call.connection.answer(call.number, code, detail)

    def forget(self):
        """In a child of fork: what is the parent's is closed."""
        for connection in list(self._by_fd.values()):
            connection.forget()
        self._listener.close()
