"""The Python function runtime: serves the users' functions to the function manager.

    frame       --> pipe ----+
    Call (gRPC) --> server --+--> calls --+--> functions: event -> handler(event, context) -> result
                                          +--> workers:   the same in another process

    config, parse, variables, exposed   what the configuration file says, checked before anything acts on it
    codec        messages as bytes, and back
    connection   the bytes of one connection of the pipe; sockets, below it; watcher, polls while a call takes long
    values       payload -> event, result -> payload
    guard        ends a handler whose caller went away, and keeps its changes of Python away from the runtime
    stop         signals, children of fork, the end
    own          what all of these use, taken before user code can replace it
    log          lines to stderr, and to a rotated file; userlog, what user code says with logging
    local        one call without the edge

One source for Python 2.7 and 3.6 and later; it needs PyYAML, and grpcio for a caller without the pipe, of any version
that exists for them. The port is open only when all functions are imported. A call that fails affects no other call.
User code has the environment that the master made, without the secret of the instance, and with sys.path, os._exit and
logging.basicConfig changed. The runtime knows nothing of MQTT, of the master or of other instances.
"""
