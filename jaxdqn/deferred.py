"""gymnax, without the libraries that a few of its environments draw with: they take longer to
import than gymnax and JAX together, and training draws nothing.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Stands for a module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _deferred(*names: str) -> Iterator[None]:
    """Let imports within give stand-ins for modules that aren't there yet.

    Whoever imports these modules later gets them, not the stand-ins.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update({name: _Deferred(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


with _deferred("matplotlib.pyplot", "seaborn"):
    import gymnax
    from gymnax.environments import environment, spaces

__all__ = ["environment", "gymnax", "spaces"]
