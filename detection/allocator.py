"""How the C library hands memory back, which decides whether each feature map is paid for anew."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of glibc's mallopt
_DEFAULTS = (128 * 1024, 65536)
_KEEP = (2**31 - 1, 0)


def keep_freed_memory(keep: bool = True) -> None:
    """Let glibc keep freed memory for the next tensor, or return it to the system as it does by itself.

    By itself it takes a map of 32 MB or more from the system each time, which then clears it page by page: a fifth of
    the time of an image on the CPU. Concerns the whole process; elsewhere than on Linux with glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim, mappings = _KEEP if keep else _DEFAULTS
        mallopt(_TRIM_THRESHOLD, trim)
        mallopt(_MMAP_MAX, mappings)
