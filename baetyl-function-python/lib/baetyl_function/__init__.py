"""The Python function runtime: serves the users' functions to the function manager.

    frame       --> pipe ----+
    Call (gRPC) --> server --+--> calls --+--> functions: payload -> event -> handler(event, context) -> payload
                                          +--> workers:   the same in a second process, for codedirs whose modules share names

    config   what the configuration file says, checked before anything acts on it
    log      lines to stderr, and to a rotated file
    guard    ends a handler whose caller went away

One source for Python 2.7 and 3.6 and later; it needs grpcio, protobuf and PyYAML of any version that exists for them.
It promises that an open port means "all functions are imported", that one failing call costs nothing but that call, and
that user code finds the environment as the master made it, with only sys.path changed. It knows nothing of MQTT, of the
master or of other instances.
"""
