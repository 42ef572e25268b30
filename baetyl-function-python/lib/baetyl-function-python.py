"""Starts the Python function runtime; see the package baetyl_function beside this file.

    config --> groups --> workers started --> functions imported --> port opened
    SIGTERM --> calls finished --> exit 0

Exit status: 0 after SIGTERM or SIGINT; 1 with one line on stderr when the configuration, a function or the address is
wrong, or when a worker died; 127 when the Python packages that it needs are not installed. With --handler it runs a
function once: 0, or 1 when that fails.
"""
from __future__ import absolute_import

import argparse
import os
import sys

from baetyl_function.own import BUILTINS

globals().update(BUILTINS)
PROGRAM = 'baetyl-function-python' + {2: '27', 3: '36'}[sys.version_info[0]]  # the package, for any Python 3


def main():
    parser = argparse.ArgumentParser(prog=PROGRAM, description='Serves Python functions to the function manager.')
    parser.add_argument('-c', '--config', metavar='FILE', default='etc/baetyl/service.yml', help='default: %(default)s')
    parser.add_argument('--handler', metavar='MODULE.FUNCTION', help='run this function once, without a service')
    parser.add_argument('--event', metavar='FILE', help='with --handler: the payload, - for stdin; default: none')
    parser.add_argument('--codedir', metavar='FOLDER', default='.', help='with --handler: the code; default: .')
    parser.add_argument('--worker', nargs=2, help=argparse.SUPPRESS)  # group and address, see workers.py
    args = parser.parse_args()
    if args.handler:
        from baetyl_function import local
        sys.exit(local.run(args.handler, args.codedir, args.event))
    if args.event:
        parser.error('--event needs --handler')
    try:
        from baetyl_function import calls, config, exposed, functions, guard, log, stop, userlog, workers
    except ImportError as e:
        sys.exit(not_prepared(e))
    secret = guard.forget(config.SECRET_VARIABLE)
    try:
        c = config.load(args.config)
    except config.ConfigError as e:
        sys.exit(fail(e))
    try:
        if c.server.pipe or args.worker:
            from baetyl_function import pipe as transport
        else:
            from baetyl_function import server as transport
    except ImportError as e:
        sys.exit(not_prepared(e))

    logger = log.Log(c.logger, c.name)
    ender = stop.Stop()
    groups = workers.split(c.functions)
    children = workers.Workers(workers.command(), lambda text: ender.now(1, text))
    address = c.server.address
    if args.worker:
        group, address = int(args.worker[0]), args.worker[1]
        mine = groups[group]
        # The runtime checks limits, certificates and callers. Between it and its workers there are none.
        settings = c.server._replace(address=address, ca=None, key=None, cert=None, concurrent=None, message_length=-1)
        secret = None
        workers.watch_parent(address, lambda: ender.now(0))
    else:
        logger.info('service starting')
        mine, settings = groups[0], c.server
        children.start(groups)
    status = 1
    try:
        handled = calls.Calls(children, logger, ender)
        server = transport.Server(handled, ender, secret, c.server.concurrency)
        ender.guard_process(logger, [logger.forget, children.forget, server.forget])
        ender.leave_by(lambda: leave(logger, ender.status, args.worker))
        userlog.take(logger, c.logger.level, handled.invoke_id)
        loaded = functions.load(mine)
        handled.add(loaded)
        if not children.ready():
            raise functions.LoadError('a worker could not start; the reason is above')
        ender.on_signals()
        server.listen(settings)
        if not args.worker:
            exposed.say(logger, settings)
        logger.info('functions %s at %s' % (', '.join(sorted(loaded)), address))
        server.serve()
        ender.ignore()
        if ender.reason:
            logger.error(ender.reason)
        server.stop(c.server.timeout)
        status = ender.status
        if not args.worker:
            logger.info('service closed')
    except functions.LoadError as e:
        logger.say(u'%s\n%s: %s: %s' % (e.trace.rstrip(u'\n'), PROGRAM, args.config, e))
    except calls.KeyFileError as e:
        logger.say(u'%s: %s: %s' % (PROGRAM, args.config, e))
    except calls.AddressError as e:
        logger.say(u'%s: %s: server.address: listen on %s: %s' % (PROGRAM, args.config, address, e))
    except Exception as e:  # stderr may be gone
        failed = functions.failure(e, os.sep)
        logger.error(u'the runtime failed, which is a fault of it: ' + failed.line, trace=failed.trace)
    finally:
        children.stop(c.server.timeout)
    stop.finish(status)


def leave(logger, status, worker):
    """The end when a handler does not let go of the main thread."""
    if not worker:
        logger.info('service closed')
    from baetyl_function import stop
    stop.end(status)


def not_prepared(error):
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return fail('%s; prepare the package with: %s' % (error, os.path.join(here, 'bin', 'prepare')), 127)


def fail(error, status=1):
    line = u'%s: %s\n' % (PROGRAM, error)
    sys.stderr.write(line if str is not bytes else line.encode('utf-8'))
    return status


if __name__ == '__main__':
    main()
