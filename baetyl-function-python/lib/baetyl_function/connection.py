"""One connection of the pipe: who is at the other end, then frames in and out. docs/function-pipe.md has the bytes.

    hello --> proof (version 2) --> frames --> ended

It never waits: the server says when there is something to read. Only an answer that the other side does not read waits,
and only in the thread of its call.
"""
from __future__ import absolute_import

import errno
import os
import select
import socket
import struct
from socket import error as socket_error

from . import calls, codec
from .own import BUILTINS, allocate_lock, compare_digest, encode, sha256

globals().update(BUILTINS)

HELLO_SECONDS = 20  # until the caller has said who it is
WRITE_SECONDS = 20  # until the other side reads, or the connection ends
FAR = float('inf')
BODY_MAX = 1 << 30  # a longer body is no frame, whatever the limit of messages

HELLO_1, HELLO_2 = (b'BAETYL-FUNCTION-PIPE/' + version + b'\r\n' for version in (b'1', b'2'))
_NONCE, _PROOF = 16, 32
_AT_ONCE = 1  # for version 1, where the caller decides: user code may not expect several calls at once
_READ = 1 << 16
pack_header, unpack_header, _HEADER = struct.Struct('>IIB').pack, struct.Struct('>IIB').unpack_from, 9
_number = struct.Struct('>I').pack
_AGAIN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)
_NO_SIGNAL = getattr(socket, 'MSG_NOSIGNAL', 0x4000)  # Python 2 has no name for it
_random, _poll, _OUT = os.urandom, select.poll, select.POLLOUT


class Secret(object):
    """The secret of the instance, which both sides of version 2 prove that they have."""

    def __init__(self, text):
        key = text.encode('ascii') if not isinstance(text, bytes) else text
        if len(key) > 64:
            key = sha256(key).digest()
        key = bytearray(key.ljust(64, b'\0'))
        self._inner = sha256(bytes(bytearray(b ^ 0x36 for b in key)))
        self._outer = sha256(bytes(bytearray(b ^ 0x5c for b in key)))

    def sign(self, data):
        """HMAC-SHA256, of objects made at the start: hmac.new is code that a handler may replace."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()


class Connection(object):
    """server has secret, limit, concurrent, queue, arrived(call), canceled(call) and ended(connection)."""

    def __init__(self, server, sock, until):
        self._server, self._socket, self.until = server, sock, until
        self._recv, self._send_some = sock.recv, sock.send
        self._take, self._data, self._skip, self._nonces = self._hello, b'', 0, b''
        self._parts, self._missing = [], 0
        self._sending = allocate_lock()
        self.fd, self.open, self.calls = sock.fileno(), True, {}

    def read(self):
        """Takes what has come. Called when there is something."""
        try:
            data = self._recv(_READ if self._missing < _READ else 1 << 20)
        except (OSError, socket_error) as e:
            if e.errno not in _AGAIN:
                self.end()
            return
        if not data:
            return self.end()
        if self._missing > len(data):
            self._parts.append(data)
            self._missing -= len(data)
            return
        if self._parts:
            self._parts.append(data)
            data, self._parts = b''.join(self._parts), []
        elif self._data:
            data = self._data + data
        self._missing = 0
        self._data = data
        while self.open and self._take():
            pass

    def _hello(self):
        """The first bytes of the caller. Returns whether there may be more to take."""
        data, secret, size = self._data, self._server.secret, len(HELLO_1)
        if secret is None:
            if not HELLO_1.startswith(data[:size]):
                return self.end()
            if len(data) < size:
                return False
            self._data, self._take = data[size:], self._frames
            self.until = FAR
            return self._put(HELLO_1 + _number(_AT_ONCE))
        if not HELLO_2.startswith(data[:size]):
            return self.end()
        if len(data) < size + _NONCE:
            return False
        self._data, self._take = data[size + _NONCE:], self._proof
        self._nonces = data[size:size + _NONCE] + _random(_NONCE)
        return self._put(HELLO_2 + _number(self._server.concurrent) + _number(self._server.queue) +
                         self._nonces[_NONCE:] + secret.sign(b'runtime' + self._nonces))

    def _proof(self):
        if len(self._data) < _PROOF:
            return False
        if not compare_digest(self._data[:_PROOF], self._server.secret.sign(b'caller' + self._nonces)):
            return self.end()
        self._data, self._take = self._data[_PROOF:], self._frames
        self.until = FAR
        return True

    def _frames(self):
        data, at, end = self._data, 0, len(self._data)
        if self._skip:
            at = min(self._skip, end)
            self._skip -= at
        while end - at >= _HEADER:
            size, number, code = unpack_header(data, at)
            if size > BODY_MAX:
                return self.end()
            begin, stop = at + _HEADER, at + _HEADER + size
            if size > self._server.limit:
                if not code:  # else it cancels a call that was refused
                    self.answer(number, calls.RESOURCE_EXHAUSTED, self.too_large(size))
                at, self._skip = min(stop, end), max(0, stop - end)
                continue
            if stop > end:
                self._missing = stop - end
                break
            at = stop
            self._frame(number, code, data[begin:stop])
            if not self.open:
                return False
        self._data = data[at:]
        if self._missing:
            self._parts, self._data = [self._data], b''
        return False

    def _frame(self, number, code, body):
        if code:
            call = self.calls.get(number)
            if call is not None:
                self._server.canceled(call)
            return
        try:
            message = codec.decode(body)
        except codec.Invalid as e:
            return self.answer(number, calls.INVALID_ARGUMENT, 'read message: %s' % e)
        call = Call(self, number, message, len(body))
        self.calls[number] = call
        self._server.arrived(call)

    def too_large(self, size):
        return 'message larger than max (%d vs. %d)' % (size, self._server.limit)

    def answer(self, number, code, body):
        """Sends the answer of a call; text is the detail of a failure."""
        if not isinstance(body, bytes):
            body = encode(body, 'replace')
        self._put(pack_header(len(body), number, code) + body)

    def _put(self, data):
        """Sends bytes. Returns whether the connection is still good."""
        with self._sending:
            try:
                sent = self._some(data)
                if sent < len(data):
                    self._rest(memoryview(data)[sent:])
            except (OSError, socket_error):
                self._broken()
        return self.open

    def _some(self, data):
        try:
            return self._send_some(data, _NO_SIGNAL)
        except (OSError, socket_error) as e:
            if e.errno not in _AGAIN:
                raise
            return 0

    def _rest(self, data):
        writable = _poll()
        writable.register(self.fd, _OUT)
        while data:
            try:
                if not writable.poll(WRITE_SECONDS * 1000):
                    raise OSError(errno.ETIMEDOUT, 'it does not read')
            except select.error as e:
                if e.args[0] != errno.EINTR:
                    raise OSError(e.args[0], 'poll')
            data = data[self._some(data):]

    def _broken(self):
        """What could not be written: the reading side ends the connection, since shutdown wakes it."""
        try:
            self._socket.shutdown(2)
        except (OSError, socket_error):
            pass

    def end(self):
        """Closes the connection; calls that wait or run have no caller any more. Only where it is read."""
        if self.open:
            self.open = False
            self._server.ended(self)
            self._broken()
            self._socket.close()
        return False

    def forget(self):
        """In a child of fork, which must not hold the connection."""
        self.open = False
        self._socket.close()


class Call(object):
    """A call, and its caller."""

    __slots__ = ('connection', 'number', 'message', 'size', 'gone', '_callback')

    def __init__(self, connection, number, message, size):
        self.connection, self.number, self.message, self.size = connection, number, message, size
        self.gone, self._callback = False, None

    def add_callback(self, callback):
        """Calls callback when the caller goes away. Returns whether it is there."""
        self._callback = callback
        return not self.gone

    @staticmethod
    def time_remaining():
        return None  # the caller cancels the call when its time is over

    def cancel(self):
        self.gone, callback = True, self._callback
        if callback is not None:
            callback()
