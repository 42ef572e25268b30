"""Sockets of the runtime: not those of the module socket, which a handler may replace, but the ones in C below it.

Their descriptors are high, see guard.high, and programs that a handler starts don't get them.
"""
from __future__ import absolute_import

import os
import socket
import stat

import _socket

from . import calls, guard
from .own import BUILTINS, encode, text_type

globals().update(BUILTINS)

ERRORS = (OSError, socket.error)  # two classes in Python 2
_new_socket, _from_fd = _socket.socket, getattr(_socket, 'fromfd', None)
_TCP, _NODELAY = _socket.IPPROTO_TCP, _socket.TCP_NODELAY
_getaddrinfo, _STREAM, _PASSIVE = _socket.getaddrinfo, _socket.SOCK_STREAM, _socket.AI_PASSIVE
_is_socket, _lstat, _unlink = stat.S_ISSOCK, os.lstat, os.unlink
_read, _write, _close = os.read, os.write, os.close


def listen(address):
    """A socket that listens at an address of config.Server. Folder and umask say who reaches a unix socket. Raises
    calls.AddressError."""
    try:
        return _listen(address)
    except (OverflowError, ValueError) + ERRORS as e:
        raise calls.AddressError('%s; is it in use?' % e)


def _listen(address):
    if address.startswith('unix:'):
        path = address[len('unix:'):]
        path = path[2:] if path.startswith('//') else path
        try:
            if _is_socket(_lstat(path).st_mode):
                _unlink(path)  # of an instance before
        except OSError:
            pass
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        listener.bind(path)
    else:
        host, _, port = address.rpartition(':')
        family, kind, protocol, _, place = _getaddrinfo(
            _bytes(host.strip('[]')) or None, int(port), 0, _STREAM, 0, _PASSIVE)[0]
        listener = _socket.socket(family, kind, protocol)
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        listener.bind(place)
    listener.listen(16)
    listener.setblocking(False)
    return _moved(listener, listens=True)


def _bytes(host):  # text would need the codec idna
    return encode(host) if isinstance(host, text_type) else host


class _Descriptor(object):
    """A connection with a high descriptor for Python 2, which can't make a socket of one."""

    def __init__(self, sock):
        self._fd = guard.high(sock.fileno())
        self._kind = sock.family, sock.type
        sock.close()

    def fileno(self):
        return self._fd

    def recv(self, size):
        return _read(self._fd, size)

    def send(self, data, _):
        return _write(self._fd, data)

    def shutdown(self, how):
        sock = _from_fd(self._fd, *self._kind)
        sock.shutdown(how)
        sock.close()

    def close(self):
        _close(self._fd)


def _moved(sock, listens=False):
    """The socket with a high descriptor, where Python can do that."""
    if not hasattr(sock, 'detach'):
        guard.close_on_exec(sock.fileno())
        return sock if listens else _Descriptor(sock)
    moved = _new_socket(fileno=guard.high(sock.detach(), move=True))
    moved.setblocking(False)
    return moved


def accept(listener):
    """The next connection, which does not block. Raises ERRORS."""
    if hasattr(listener, '_accept'):
        fd, _ = listener._accept()
        sock = _new_socket(fileno=fd)
    else:
        sock, _ = listener.accept()
    try:
        sock.setsockopt(_TCP, _NODELAY, 1)
    except ERRORS:
        pass  # a unix socket has no such option
    sock.setblocking(False)
    return _moved(sock)
