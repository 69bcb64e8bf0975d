"""What ./tieout runs, with -S: Ctrl-C is listened to before Python looks for any package, which takes a tenth of a
second and would answer with a traceback. Until then nothing but what is built into the interpreter may be imported.
"""

import _signal  # type: ignore[import-not-found, unused-ignore]  # `signal` reads files; this does not.
import posix

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # Not ignored, as behind a shell's `&`.
    _signal.signal(_signal.SIGINT, lambda *_: posix._exit(130))

import site

site.main()  # What -S has left out.

import sys  # noqa: E402

from tieout.devstack import entry  # noqa: E402

sys.exit(entry.main())
