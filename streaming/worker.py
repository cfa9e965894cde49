"""What a Python worker of Spark does before its tasks."""

import gc
import sys
import zipimport
from functools import lru_cache

MADE_BETWEEN_LOOKS = 100_000
"""Objects, above those that are gone again, after which Python looks for garbage; its default is 700."""


def lighten_worker() -> None:
    """In every task: take away two things that Spark does anew for every task, and one for every few messages.

    It has the archives of its path list their files again, among them its core jar, which holds no Python. And it has
    every object looked at for garbage, all that imported modules hold among them. Messages are made into tuples by the
    thousand, none of which is garbage that only a look would find.
    """
    _lighten_worker(len(sys.modules))


@lru_cache(maxsize=1)
def _lighten_worker(_modules: int) -> None:
    """Once for what is imported: whatever is imported later, as pandas is by PyArrow, brings both back."""
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            del sys.path_importer_cache[path]
    gc.collect()
    gc.freeze()
    gc.set_threshold(MADE_BETWEEN_LOOKS)
