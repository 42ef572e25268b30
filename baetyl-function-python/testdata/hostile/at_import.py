"""Does all that hostile does, before the first call."""
import types

import hostile

# These break this module, or Python's own import of it.
_skipped = ('tracer', 'profiler', 'recursion', 'builtin_functions', 'imports', 'threads')
for _name, _handler in sorted((n, h) for n, h in vars(hostile).items() if isinstance(h, types.FunctionType)):
    if _name not in _skipped and _handler.__code__.co_varnames[:2] == ('event', 'context'):
        try:
            _handler({}, {})
        except Exception:  # it needed what one before it has taken
            pass


def done(event, context):
    return 'done'
