"""The Python function runtime: serves the users' functions to the function manager.

    frame       --> pipe ----+
    Call (gRPC) --> server --+--> calls --+--> functions: payload -> event -> handler(event, context) -> payload
                                          +--> workers:   the same in another process

    config   what the configuration file says, checked before anything acts on it
    log      lines to stderr, and to a rotated file
    guard    ends a handler whose caller went away
    workers  processes for code directories whose modules have the same names

One source for Python 2.7 and 3.6 and later; it needs grpcio, protobuf and PyYAML of any version that exists for them.
The port is open only when all functions are imported. A call that fails affects no other call. User code has the
environment that the master made, with only sys.path changed. The runtime knows nothing of MQTT, of the master or of
other instances.
"""
