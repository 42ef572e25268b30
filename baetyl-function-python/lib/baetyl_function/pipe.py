"""Calls over the pipe: frames on a plain connection, for a function manager that asks for it.

gRPC takes several times the work of a call, 15 MB, and 100 ms at the start, and an instance of the function manager
does not need what it adds.

    caller --> hello --> frame: length, number of the call, code, body --> thread --> frame: the same number, code, body

docs/function-pipe.md says what the frames mean. One thread of a connection reads at a time. It runs the call that it
has read, while another one reads the next, so that no call is handed from thread to thread.
"""
from __future__ import absolute_import

import contextlib
import socket
import struct
import threading
import time

from . import calls, function_pb2

_HELLO = b'BAETYL-FUNCTION-PIPE/1\r\n'
_AT_ONCE = 1  # user code may not expect several calls at once; the configuration of the manager can allow them
_CALLS_MAX = 1024  # calls of a connection, each a thread, when concurrent.max is not set
_HEADER = struct.Struct('>IIB')
_NUMBER = struct.Struct('>I')
_BODY_MAX = 1 << 30  # a longer body is no frame, whatever the limit of messages
_HELLO_SECONDS = 20


class Server(object):
    """Serves calls.Calls."""

    def __init__(self, handled):
        self._calls = handled
        self._changed = threading.Condition()
        self._running, self._stopping, self._connections = 0, False, set()
        self._listener, self._gate = None, None

    def listen(self, config):
        """Opens the port of config.Server. Raises calls.AddressError."""
        most = config.concurrent or _CALLS_MAX
        self._gate = calls.Gate(most, calls.workers(config))
        self.most, self.limit = most + 1, min(config.message_length, _BODY_MAX)
        host, _, port = config.address.rpartition(':')
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host.strip('[]') or None, int(port), 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)[0]
            self._listener = socket.socket(family, kind, protocol)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(address)
            self._listener.listen(16)
        except (OSError, socket.error, OverflowError) as e:  # socket.error is no OSError in Python 2
            raise calls.AddressError('%s; is it in use?' % e)
        _thread(self._accept)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except (OSError, socket.error):
                if self._stopping:
                    return
                time.sleep(0.01)  # too many open files, most likely
                continue
            _thread(_Connection(self, connection).begin)

    @contextlib.contextmanager
    def running(self):
        """Around a call and its answer. Raises Refused when the instance is stopping."""
        with self._changed:
            if self._stopping:
                raise calls.Refused(calls.UNAVAILABLE, 'the instance is stopping')
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def run(self, request, call):
        """Returns the answer. Raises Refused."""
        with self._gate:
            return self._calls.run(request, call)

    def keep(self, connection, there):
        with self._changed:
            (self._connections.add if there else self._connections.discard)(connection)

    def stop(self, grace):
        """Takes no new calls and gives the running ones grace seconds; then they are ended."""
        end = time.time() + grace
        with self._changed:
            self._stopping = True
            self._close(self._listener)
            while self._running and time.time() < end:
                self._changed.wait(0.05)  # a limit, since Python 2 handles no signal while it waits without one
            left = list(self._connections)
        for connection in left:
            connection.end()

    @staticmethod
    def _close(listener):
        try:
            listener.shutdown(socket.SHUT_RDWR)  # close alone leaves accept waiting
        except (OSError, socket.error):
            pass
        listener.close()


class _Connection(object):
    def __init__(self, server, connection):
        self._server, self._socket, self._buffer = server, connection, bytearray()
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._state = threading.Lock()  # guards what follows
        self._waiting, self._threads, self._calls, self._open = 0, 1, {}, True

    def begin(self):
        self._server.keep(self, True)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(_HELLO_SECONDS)
            if self._take(len(_HELLO)) != _HELLO:
                return self.end()
            self._socket.sendall(_HELLO + _NUMBER.pack(_AT_ONCE))
            self._socket.settimeout(None)
        except (EOFError, OSError, socket.error):
            return self.end()
        self._work()

    def _work(self):
        """What each thread does: it waits until it may read, reads a call, and runs it while another thread reads."""
        while True:
            with self._state:
                self._waiting += 1
            with self._reading:
                try:
                    request, call = self._next()
                except (EOFError, OSError, socket.error):
                    return self.end()
                finally:
                    with self._state:
                        self._waiting -= 1
                        more = not self._waiting and self._threads < self._server.most
                        self._threads += more
                if more:
                    _thread(self._work)
            self._run(request, call)

    def _next(self):
        """The next call. Handles frames that cancel a call, and frames that cannot be read."""
        while True:
            size, number, code = _HEADER.unpack(self._take(_HEADER.size))
            if size > _BODY_MAX:
                raise EOFError
            if size > self._server.limit:
                self._skip(size)
                if code:
                    continue  # it cancels a call that was refused
                self._refuse(number, calls.RESOURCE_EXHAUSTED, self._too_large(size))
                continue
            body = self._take(size)
            if code:
                with self._state:
                    call = self._calls.get(number)
                if call is not None:
                    call.cancel()
                continue
            try:
                request = function_pb2.FunctionMessage.FromString(body)
            except Exception as e:  # protobuf has another class for it in each version
                self._refuse(number, calls.INVALID_ARGUMENT, 'read message: %s' % e)
                continue
            call = _Call(number)
            with self._state:
                self._calls[number] = call
            return request, call

    def _run(self, request, call):
        try:
            with self._server.running():  # until the answer is on its way
                self._send(call.number, *self._answer(request, call))
        except calls.Refused as e:
            self._forget(call)
            self._refuse(call.number, e.code, e.detail)

    def _answer(self, request, call):
        try:
            answer = self._server.run(request, call).SerializeToString()
            if len(answer) > self._server.limit:
                raise calls.Refused(calls.RESOURCE_EXHAUSTED, self._too_large(len(answer)))
            return calls.OK, answer
        except calls.Refused as e:
            return e.code, e.detail.encode('utf-8')
        finally:
            self._forget(call)

    def _too_large(self, size):
        return 'message larger than max (%d vs. %d)' % (size, self._server.limit)

    def _forget(self, call):
        with self._state:
            self._calls.pop(call.number, None)

    def _refuse(self, number, code, detail):
        self._send(number, code, detail.encode('utf-8'))

    def _send(self, number, code, body):
        with self._writing:
            try:
                self._socket.sendall(_HEADER.pack(len(body), number, code) + body)
            except (OSError, socket.error):
                pass  # the connection has ended; the thread that reads ends it

    def _take(self, size):
        """The next size bytes. Raises EOFError."""
        while len(self._buffer) < size:
            self._more(size - len(self._buffer))
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _skip(self, size):
        while size > len(self._buffer):
            size -= len(self._buffer)
            del self._buffer[:]
            self._more(size)
        del self._buffer[:size]

    def _more(self, wanted):
        data = self._socket.recv(min(max(wanted, 1 << 16), 1 << 20))
        if not data:
            raise EOFError
        self._buffer += data

    def end(self):
        """Closes the connection; calls that run have no caller any more."""
        with self._state:
            if not self._open:
                return
            self._open = False
            left = list(self._calls.values())
        for call in left:
            call.cancel()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except (OSError, socket.error):
            pass
        self._socket.close()
        self._server.keep(self, False)


class _Call(object):
    """The caller of one call."""

    def __init__(self, number):
        self.number = number
        self._lock, self._callbacks, self._gone = threading.Lock(), [], False

    def add_callback(self, callback):
        with self._lock:
            if not self._gone:
                self._callbacks.append(callback)
            return not self._gone

    @staticmethod
    def time_remaining():
        return None  # the caller cancels the call when its time is over

    def cancel(self):
        with self._lock:
            self._gone, callbacks = True, self._callbacks
        for callback in callbacks:
            callback()


def _thread(target):
    thread = threading.Thread(target=target)
    thread.daemon = True
    thread.start()
