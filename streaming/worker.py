"""What a Python worker of Spark does once, before its first task."""

import gc
import sys
import zipimport
from functools import lru_cache


@lru_cache(maxsize=1)
def lighten_worker() -> None:
    """Once in a worker: take away two things that Spark does anew for every task.

    It has the archives of its path list their files again, among them its core jar, which holds no Python. And it has
    every object looked at for garbage, all that imported modules hold among them.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            del sys.path_importer_cache[path]
    gc.collect()
    gc.freeze()
