"""What the runtime needs of Python, taken before the first line of user code runs.

A handler may replace json.dumps, time.time, builtins.len or socket.socket, and the runtime must not notice. So each
module of the runtime that works during calls has names of its own for all that it uses: builtins by
globals().update(BUILTINS), everything else by import at its top. They are functions in C where Python has them, since
those do not look anything up when they run.
"""
from __future__ import absolute_import

import re
import sys

try:
    import builtins
except ImportError:  # Python 2
    import __builtin__ as builtins

BUILTINS = dict((name, value) for name, value in vars(builtins).items() if not name.startswith('__'))

try:  # those in C that need no OpenSSL, which takes memory
    from _sha2 import sha256
except ImportError:
    try:
        from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

if sys.version_info[0] == 2:
    from operator import _compare_digest as compare_digest
    from thread import allocate_lock, get_ident, start_new_thread
    from _codecs import utf_8_decode, utf_8_encode
    text_type = builtins.unicode

    # The methods of str and unicode call code of the module codecs, which a handler may replace.
    def decode(data, errors='strict'):
        return utf_8_decode(data, errors, True)[0]

    def encode(text, errors='strict'):
        return utf_8_encode(text, errors)[0]

    # Finds a surrogate in bytes. Python 2 takes them as UTF-8, Python 3 does not.
    surrogate = re.compile(b'\xed[\xa0-\xbf]').search
else:
    from _operator import _compare_digest as compare_digest
    from _thread import allocate_lock, get_ident, start_new_thread
    text_type, surrogate = builtins.str, None

    def decode(data, errors='strict'):
        return data.decode('utf-8', errors)

    def encode(text, errors='strict'):
        return text.encode('utf-8', errors)
