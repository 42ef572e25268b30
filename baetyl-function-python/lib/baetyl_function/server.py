"""Calls over gRPC: one method, a thread per running call."""
from __future__ import absolute_import

import hmac
from concurrent import futures

import grpc

from . import calls, codec

_SECRET_KEY = 'baetyl-instance-secret'  # metadata of each call, when the instance has a secret
_STATUS = dict((code.value[0], code) for code in grpc.StatusCode)


class Server(object):
    """Serves calls.Calls."""

    def __init__(self, handled, stop, secret=None, concurrent=None):
        self._calls, self._stop, self._secret = handled, stop, secret and secret.encode('ascii')
        self._server, self._gate = None, None

    def listen(self, config):
        """Opens the port of config.Server. Raises calls.AddressError, calls.KeyFileError."""
        workers = threads = calls.workers(config)
        if config.concurrent:
            # The limit of grpc counts a call for a moment after its answer, and sometimes refuses a caller that has one
            # call at a time. Here each call has a thread, one more thread refuses calls, and a gate keeps to
            # workers.max.
            self._gate = calls.Gate(config.concurrent, workers)
            threads = config.concurrent + 1
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=threads),
            options=[('grpc.max_send_message_length', config.message_length),
                     ('grpc.max_receive_message_length', config.message_length),
                     ('grpc.so_reuseport', 0)])  # a port in use is an error, not half of the calls
        method = grpc.unary_unary_rpc_method_handler(
            self._call, request_deserializer=codec.decode)  # an answer is bytes already
        service = grpc.method_handlers_generic_handler('baetyl.Function', {'Call': method})
        self._server.add_generic_rpc_handlers((service,))
        try:
            port = self._open(config)
        except RuntimeError as e:  # grpcio of 2023 and later
            raise calls.AddressError(str(e))
        if not port:  # grpcio before
            raise calls.AddressError('cannot open it; is it in use?')
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

    def serve(self):
        """Returns when the runtime is to stop; grpc has threads of its own."""
        self._stop.wait()

    def _call(self, request, context):
        try:
            self._check_caller(context)
            if self._gate is None:
                return self._calls.run(request, context)
            with self._gate:
                return self._calls.run(request, context)
        except calls.Refused as e:
            context.abort(_STATUS[e.code], e.detail)


    def forget(self):
        """In a child of fork: grpc itself knows what to do there, see its GRPC_ENABLE_FORK_SUPPORT."""

    def _check_caller(self, context):
        if self._secret is None:
            return
        given = dict(context.invocation_metadata()).get(_SECRET_KEY, '')
        given = given if isinstance(given, bytes) else given.encode('utf-8')
        if not hmac.compare_digest(given, self._secret):
            raise calls.Refused(calls.UNAUTHENTICATED, 'the metadata %s is missing or wrong' % _SECRET_KEY)


def _read(key, path):
    try:
        with open(path, 'rb') as f:
            return f.read()
    except (IOError, OSError) as e:
        raise calls.KeyFileError('server.%s: read %s: %s' % (key, path, e.strerror))


def _check(config):
    """Finds wrong certificates: grpc only says that it could not open the port."""
    import ssl  # few instances have TLS, and this import takes time
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(config.cert, config.key, password=lambda: b'')  # or it would ask the terminal
        if config.ca:
            context.load_verify_locations(config.ca)
    except (ssl.SSLError, ValueError) as e:
        files = config.key + (' and ' + config.ca if config.ca else '')
        raise calls.KeyFileError('server.cert: use %s with %s: %s' % (config.cert, files, e))
