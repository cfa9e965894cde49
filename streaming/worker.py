"""What a Python worker of Spark does once, before its first task."""

import gc
import sys
import zipimport
from functools import lru_cache

MADE_BETWEEN_LOOKS = 100_000
"""Objects, above those that are gone again, after which Python looks for garbage; its default is 700."""


@lru_cache(maxsize=1)
def lighten_worker() -> None:
    """Once in a worker: take away two things that Spark does anew for every task, and one for every few messages.

    It has the archives of its path list their files again, among them its core jar, which holds no Python. And it has
    every object looked at for garbage, all that imported modules hold among them. Messages are made into tuples by the
    thousand, none of which is garbage that only a look would find.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            del sys.path_importer_cache[path]
    gc.collect()
    gc.freeze()
    gc.set_threshold(MADE_BETWEEN_LOOKS)
