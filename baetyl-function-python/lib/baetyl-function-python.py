"""Starts the Python function runtime; see the package baetyl_function beside this file.

    config --> groups --> workers started --> functions imported --> port opened
    SIGTERM --> calls finished --> exit 0

Exit status: 0 after SIGTERM or SIGINT; 1 with one line on stderr when the configuration, a function or the address is
wrong, or when a worker died; 127 when the Python packages that it needs are not installed.
"""
from __future__ import absolute_import

import argparse
import fcntl
import os
import signal
import sys
import threading
import time
import traceback

PROGRAM = 'baetyl-function-python' + {2: '27', 3: '36'}[sys.version_info[0]]  # the package, for any Python 3


def main():
    parser = argparse.ArgumentParser(prog=PROGRAM, description='Serves Python functions to the function manager.')
    parser.add_argument('-c', '--config', metavar='FILE', default='etc/baetyl/service.yml', help='default: %(default)s')
    parser.add_argument('--worker', nargs=2, help=argparse.SUPPRESS)  # group and address, see workers.py
    args = parser.parse_args()
    try:
        from baetyl_function import calls, config, exposed, functions, log, workers
    except ImportError as e:
        sys.exit(not_prepared(e))
    try:
        c = config.load(args.config)
    except config.ConfigError as e:
        sys.exit(fail(e))
    try:
        if c.server.pipe and not args.worker:
            from baetyl_function import pipe as transport
        else:
            from baetyl_function import server as transport
    except ImportError as e:
        sys.exit(not_prepared(e))

    logger = log.new(c.logger, c.name)
    stop = Stop()
    groups = workers.split(c.functions)
    children = workers.Workers(workers.command(), lambda text: stop.now(1, text))
    address = c.server.address
    if args.worker:
        group, address = int(args.worker[0]), args.worker[1]
        mine = groups[group]
        # The runtime checks limits and certificates. Between it and its workers there are none.
        settings = c.server._replace(address=address, ca=None, key=None, cert=None, concurrent=None, message_length=-1)
        workers.watch_parent(address, lambda: stop.now(0))
    else:
        logger.info('service starting')
        mine, settings = groups[0], c.server
        children.start(groups)
    status = 1
    try:
        handlers = functions.load(mine)
        server = transport.Server(calls.Calls(handlers, children, logger))
        if not children.ready():
            raise functions.LoadError('a worker could not start; the reason is above')
        stop.on_signals()
        server.listen(settings)
        if not args.worker:
            exposed.say(logger, settings)
        logger.info('functions %s at %s', ', '.join(sorted(handlers)), address)
        status, reason = stop.wait()
        if reason:
            logger.error(reason)
        server.stop(c.server.timeout)
        if not args.worker:
            logger.info('service closed')
    except functions.LoadError as e:
        if getattr(e, 'traceback', None):
            traceback.print_tb(e.traceback)
        fail('%s: %s' % (args.config, e))
    except calls.KeyFileError as e:
        fail('%s: %s' % (args.config, e))
    except calls.AddressError as e:
        fail('%s: server.address: listen on %s: %s' % (args.config, address, e))
    finally:
        children.stop(c.server.timeout)
    # A thread of user code, or a handler that waits inside C, would keep the interpreter running for ever.
    last = threading.Thread(target=lambda: (time.sleep(1), os._exit(status)))
    last.daemon = True
    last.start()
    sys.exit(status)


class Stop(object):
    """Why and when to stop.

    The main thread reads from a pipe, to which the interpreter itself writes when a signal comes. So a signal just
    before a wait is not lost, and Python 2 handles it at once, not after the wait.
    """

    def __init__(self):
        self._read, self._write = os.pipe()
        fcntl.fcntl(self._write, fcntl.F_SETFL, fcntl.fcntl(self._write, fcntl.F_GETFL) | os.O_NONBLOCK)
        self._stopped, self._status, self._reason = False, 0, None

    def on_signals(self):
        signal.set_wakeup_fd(self._write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.now(0))

    def now(self, status, reason=None):
        """Stops the runtime with this exit status. From any thread; only the first call counts."""
        if not self._stopped:
            self._status, self._reason, self._stopped = status, reason, True
            os.write(self._write, b'.')

    def wait(self):
        """Blocks until now was called; returns status and reason."""
        while not self._stopped:
            try:
                os.read(self._read, 64)
            except OSError:  # interrupted, in Python 2
                pass
        for number in (signal.SIGTERM, signal.SIGINT):  # a second signal must not change the exit status
            signal.signal(number, signal.SIG_IGN)
        return self._status, self._reason


def not_prepared(error):
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return fail('%s; prepare the package with: %s' % (error, os.path.join(here, 'bin', 'prepare')), 127)


def fail(error, status=1):
    line = u'%s: %s\n' % (PROGRAM, error)
    sys.stderr.write(line if str is not bytes else line.encode('utf-8'))
    return status


if __name__ == '__main__':
    main()
