"""Sees that connections are polled while the threads of calls are busy with a call for more than a moment.

It costs a short call nothing, and an idle instance neither: it looks a few times a second while calls come, and sleeps
when none has come for a while.
"""
from __future__ import absolute_import

import time

from .own import BUILTINS, allocate_lock, start_new_thread

globals().update(BUILTINS)

MOMENT = 0.02  # seconds
_QUIET = 50  # moments without a call, after which it sleeps
_sleep = time.sleep


class Watcher(object):
    """server has began (the number of calls that have begun), running (those that run) and watch(began)."""

    def __init__(self, server):
        self._server, self._asleep = server, True
        self._state, self._wake = allocate_lock(), allocate_lock()
        self._wake.acquire()

    def start(self):
        start_new_thread(self._run, ())

    def wake(self):
        """A call has begun."""
        if self._asleep:
            with self._state:
                if self._asleep:
                    self._asleep = False
                    self._wake.release()

    def _run(self):
        server = self._server
        while True:
            self._wake.acquire()
            seen, quiet = None, 0
            while True:
                _sleep(MOMENT)
                if server.began != seen:
                    seen, quiet = server.began, 0
                elif server.running:
                    server.watch(seen)
                    quiet = 0
                else:
                    quiet += 1
                    with self._state:
                        self._asleep = quiet > _QUIET and seen == server.began
                    if self._asleep:
                        break
