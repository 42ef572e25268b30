import os
import sys

import beside


def echo(event, context):
    return {'from': beside.NAME}


def die(event, context):
    os._exit(9)


def stdin(event, context):
    return sys.stdin.read()
