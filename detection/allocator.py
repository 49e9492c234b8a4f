"""How the C library hands memory back, which decides whether each feature map is paid for anew."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of glibc's mallopt


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next tensor.

    By itself it takes a map of 32 MB or more from the system each time, which then clears it page by page: a fifth of
    the time of an image on the CPU. Concerns the whole process; elsewhere than on Linux with glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_MAX, 0)
