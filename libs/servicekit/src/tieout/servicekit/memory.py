"""How much memory this process has and may have, as the machine counts it."""

import contextlib
import resource
import sys
from pathlib import Path


def memory_bytes() -> int:
    """Of this process, as the machine counts it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):  # Not Linux: the highest it ever was, in KiB or bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def memory_limit() -> int:
    """The container's; 0 where there is none."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path(name).read_text(encoding="ascii"))
            return limit if limit < 1 << 60 else 0
    return 0


def oom_kills() -> int:
    """How often the kernel has killed in this container; 0 where it does not count."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/sys/fs/cgroup/memory.events").read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
