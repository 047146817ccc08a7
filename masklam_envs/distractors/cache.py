"""A cache of decoded or generated frames, bounded by bytes and shared by the environments of a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

from masklam_envs.distractors.base import Image

# What an open file counts for: its pages are the system's, but it holds one of the process's files.
MAPPED = 2**20


class FrameCache:
    """The least recently used arrays go first; safe to use from several threads.

    :param limit: bytes kept, where a file mapped into memory counts as ``MAPPED`` bytes; a single array above it is
        kept alone, since dropping it would decode it again at every frame
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._arrays: OrderedDict[Hashable, Image] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Image]) -> Image:
        """The array of ``key``, made (and frozen against writing) when it is not there."""
        with self._lock:
            array = self._arrays.get(key)
            if array is not None:
                self._arrays.move_to_end(key)
                return array
        # Made outside the lock: two threads may make the same array, none waits for another's clip.
        array = make()
        array.flags.writeable = False
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = array
                self._bytes += _cost(array)
            while self._bytes > self.limit and len(self._arrays) > 1:
                self._bytes -= _cost(self._arrays.popitem(last=False)[1])
        return array


def _cost(array: Image) -> int:
    return MAPPED if isinstance(array.base, np.memmap) else array.nbytes


# A 64-pixel procedural clip is 6 MiB and a 64-pixel DAVIS clip about 1 MiB.
FRAMES = FrameCache(256 * 2**20)
