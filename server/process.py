"""What a process asks of the kernel and of Python: to die with its parent, however that ends, enough files, and
to look for garbage where there may be some."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# New objects before the young ones are looked at, and looks before one at older ones and at all. The messages
# that a worker has under way are some ten thousand, which go without being looked at.
_GARBAGE = (50_000, 20, 50)


def die_with_parent(expected_parent: int | None = None) -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere nothing happens).

    expected_parent: the parent's pid as the parent knows it; if it has already gone, this process ends now.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if expected_parent is not None and os.getppid() != expected_parent:
        os._exit(1)


def settle() -> None:
    """Have the garbage collector leave alone what is there now, because it stays, and look less often at the
    rest: hundreds of thousands of objects of tables and maps would be walked through again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def open_connections(most: int = 8_192) -> int:
    """Let this process and its children have as many files as the system allows; how many connections each may
    hold of them, half for whatever else is open."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if 0 < hard < 2 * most else 2 * most  # RLIM_INFINITY is negative
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(64, min(most, max(soft, wanted) // 2))
