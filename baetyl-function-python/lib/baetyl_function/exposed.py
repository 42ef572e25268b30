"""Says whether other hosts can read along, as the servers in Go do (utils/cert)."""
from __future__ import absolute_import

import re

_LOCAL = re.compile(r'^(unix:.*|(localhost\.?|127(\.[0-9]+){3}|\[::1(%.*)?\]|\[::ffff:127(\.[0-9]+){3}\]):[0-9]+)$',
                    re.I)


def say(logger, server):
    """Logs what is to be said of a config.Server, once. An address of the environment is its sender's."""
    if server.cert and server.insecure:
        logger.warning('server.insecure: has no effect, since server.cert turns TLS on; leave one of the two out')
    elif server.cert or not server.own or _LOCAL.match(server.address):
        return
    elif server.insecure:
        logger.info('other hosts can reach %s, which is plain tcp, as server.insecure says' % server.address)
    else:
        logger.warning('server.address: other hosts can reach %s, which is plain tcp: who reads along has all that is '
                       'sent; set server.cert and server.key, listen on 127.0.0.1, or say with server.insecure: true '
                       'that it is meant' % server.address)
