"""What the C library of a worker does with memory that was freed."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's mallopt(3)."""
LARGEST_FROM_HEAP = 32 * 1024 * 1024
"""Bytes; the most that every glibc takes, and more than the answer to a fetch has. Its buffers then come from the heap, not from mappings of their own,
whose pages are zeroed one by one."""
KEPT_FREE = 256 * 1024 * 1024
"""Bytes at the end of the heap that stay with the process: more than the buffers of a fetch from every partition."""


def keep_freed_memory() -> None:
    """Keep what was freed for the next fetch, where the C library is glibc; elsewhere do nothing.

    A fetch fills and frees several buffers of megabytes. Given back to the system each time, their pages cost a fifth of what reading a trace costs.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # The second alone would fix the first at its small default, and every buffer would be a mapping.
    if mallopt is not None and mallopt(_M_MMAP_THRESHOLD, LARGEST_FROM_HEAP):
        mallopt(_M_TRIM_THRESHOLD, KEPT_FREE)
