"""The gRPC service: one method, a thread per running call.

    accepted --> queued --> running --> answered
        |           +--------> skipped                        the caller's deadline passed, or it went away
        |                          +--> ended (CallEnded)     the same, while the handler was running
        +--> refused, RESOURCE_EXHAUSTED                      too large, or more than server.concurrent.max at once

A function's error is answered with UNKNOWN and a detail that starts with "Exception calling application: ", so that the
manager can tell it from a broken runtime.
"""
from __future__ import absolute_import

import os
import sys
import threading
from concurrent import futures

import grpc

from . import function_pb2, functions
from .guard import CallEnded, Guard

# A detail travels in a header; callers accept few kilobytes there and break the call for more.
_DETAIL_MAX = 4000


class Server(object):
    """Serves handlers {name: callable} and, through workers, the functions that run elsewhere."""

    def __init__(self, handlers, workers, log):
        self._handlers, self._workers, self._log = handlers, workers, log
        self._server, self._gate = None, None

    def listen(self, config):
        """Opens the port of config.Server. Raises ValueError when it cannot be had."""
        workers = config.workers or _cpus() * 5
        threads = workers
        if config.concurrent:
            # grpc's own limit counts a call for a moment after its answer, so that a caller with one call at a time is
            # refused now and then. Here each call has a thread, one is left to refuse with, and a gate holds to workers.max.
            self._gate = _Gate(config.concurrent, workers)
            threads = config.concurrent + 1
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=threads),
            options=[('grpc.max_send_message_length', config.message_length),
                     ('grpc.max_receive_message_length', config.message_length),
                     ('grpc.so_reuseport', 0)])  # a port in use is an error, not half of the calls
        method = grpc.unary_unary_rpc_method_handler(
            self._call, request_deserializer=function_pb2.FunctionMessage.FromString,
            response_serializer=function_pb2.FunctionMessage.SerializeToString)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('baetyl.Function', {'Call': method}),))
        try:
            port = self._open(config)
        except RuntimeError as e:  # grpcio of 2023 and later
            raise ValueError(str(e))
        if not port:  # grpcio before
            raise ValueError('cannot open it; is it in use?')
        self._server.start()

    def _open(self, config):
        if not config.cert:
            return self._server.add_insecure_port(config.address)
        key, cert = _read('key', config.key), _read('cert', config.cert)
        ca = _read('ca', config.ca) if config.ca else None
        _check(config)
        credentials = grpc.ssl_server_credentials(((key, cert),), ca, bool(ca))
        return self._server.add_secure_port(config.address, credentials)

    def stop(self, grace):
        """Takes no new calls and gives the running ones grace seconds; then they are ended."""
        self._server.stop(grace).wait(grace + 1)

    def _call(self, request, context):
        if self._gate is None:
            return self._run(request, context)
        if not self._gate.enter():
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, 'Concurrent RPC limit exceeded!')
        try:
            return self._run(request, context)
        finally:
            self._gate.leave()

    def _run(self, request, context):
        handler = self._handlers.get(request.FunctionName)
        if handler is None:
            stub = self._workers.stub(request.FunctionName)
            if stub is not None:
                return _forward(stub, request, context)
            self._fail(context, 'Exception calling application: function not found')
        guard = Guard()
        if not context.add_callback(guard.interrupt):
            context.abort(grpc.StatusCode.CANCELLED, 'the caller is gone')
        try:
            result = guard.run(handler, functions.event(request.Payload), functions.context(request))
        except CallEnded:
            self._log.warning('function %s [%s] ended: its caller did not wait', request.FunctionName, request.FunctionInvokeID)
            context.abort(grpc.StatusCode.CANCELLED, 'the caller is gone')
        except BaseException as e:  # SystemExit in user code ends the call, not the instance
            self._log.error('function %s [%s] failed', request.FunctionName, request.FunctionInvokeID,
                            exc_info=(type(e), e, functions.user_part(sys.exc_info()[2])))
            self._fail(context, functions.detail('[UserCodeInvoke] ', e))
        try:
            request.Payload = functions.payload(result)
        except functions.UserError as e:
            self._log.error('function %s [%s]: %s', request.FunctionName, request.FunctionInvokeID, e)
            self._fail(context, str(e))
        return request

    @staticmethod
    def _fail(context, detail):
        if isinstance(detail, bytes):  # Python 2
            detail = detail.decode('utf-8', 'replace')
        if len(detail) > _DETAIL_MAX:
            detail = detail[:_DETAIL_MAX] + u'...'
        context.abort(grpc.StatusCode.UNKNOWN, detail.encode('utf-8', 'replace').decode('utf-8'))


class _Gate(object):
    """Lets so many calls in, and so many of them run."""

    def __init__(self, calls, workers):
        self._calls, self._workers = threading.Semaphore(calls), threading.Semaphore(workers)

    def enter(self):
        """Returns False when the calls are too many; else blocks until this one may run."""
        if not self._calls.acquire(False):
            return False
        self._workers.acquire()
        return True

    def leave(self):
        self._workers.release()
        self._calls.release()


def _forward(stub, request, context):
    call = stub.future(request, timeout=context.time_remaining())
    if not context.add_callback(call.cancel):
        call.cancel()
    try:
        return call.result()
    except grpc.RpcError as e:
        context.abort(e.code(), e.details())
    except grpc.FutureCancelledError:
        context.abort(grpc.StatusCode.CANCELLED, 'the caller is gone')


def _cpus():
    if hasattr(os, 'cpu_count'):
        return os.cpu_count() or 1
    import multiprocessing  # Python 2
    return multiprocessing.cpu_count()


def _read(key, path):
    try:
        with open(path, 'rb') as f:
            return f.read()
    except (IOError, OSError) as e:
        raise KeyFileError('server.%s: read %s: %s' % (key, path, e.strerror))


def _check(config):
    """grpc only says that it could not open the port."""
    import ssl  # an instance has seldom TLS, and this takes a while
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(config.cert, config.key, password=lambda: b'')  # or it would ask the terminal
        if config.ca:
            context.load_verify_locations(config.ca)
    except (ssl.SSLError, ValueError) as e:
        files = config.key + (' and ' + config.ca if config.ca else '')
        raise KeyFileError('server.cert: use %s with %s: %s' % (config.cert, files, e))


class KeyFileError(Exception):
    """A key of server names a file that cannot be read. One line: key path, cause."""
