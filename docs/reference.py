"""Builds the API reference out of the docstrings.

    python docs/reference.py build/docs          (or: make docs)

Has a page for each module but the commands, which define flags of the same names: no
two of them fit into one process. The programs that test the Android app have none
either. Any warning of pdoc is an error.
"""

from __future__ import annotations

import importlib
import pathlib
import pkgutil
import re
import sys
import typing
import warnings

import pdoc
import pdoc.render

import waveunet_tf
from waveunet_tf.data.sigsep import import_sigsep

# In a checkout they are no folders of waveunet_tf/.
_ELSEWHERE = ("waveunet_tf.evaluate", "waveunet_tf.export")
_COMMANDS = re.compile(r"commands|run_\w+|\w+_flags|__main__")


def list_modules(package) -> None:
    """Names in `__all__` of a package, and of those in it, what has a page.

    Args:
        package: The package. Its `__all__`, which may be there already, grows.
    """
    package.__all__ = [*getattr(package, "__all__", [])]
    for module in pkgutil.iter_modules(package.__path__):
        if not _COMMANDS.fullmatch(module.name):
            package.__all__.append(module.name)
            imported = importlib.import_module(f"{package.__name__}.{module.name}")
            resolve_named_tuples(imported)
            if module.ispkg:
                list_modules(imported)


def resolve_named_tuples(module) -> None:
    """Evaluates the types in named tuples, whose constructors pdoc cannot follow."""
    for value in vars(module).values():
        if isinstance(value, type) and hasattr(value, "_field_defaults"):
            value.__new__.__annotations__ = typing.get_type_hints(value)


def main(target: str) -> None:
    """Writes the pages into the folder `target`."""
    for name in waveunet_tf.__all__:  # pdoc knows no names that come when asked for
        setattr(waveunet_tf, name, getattr(waveunet_tf, name))
    list_modules(waveunet_tf)
    import_sigsep("museval")  # types are evaluated, of modules that import it late
    for name in _ELSEWHERE:
        list_modules(importlib.import_module(name))
    pdoc.render.configure(docformat="google")
    warnings.filterwarnings("error", module=r"pdoc\b")
    pdoc.pdoc("waveunet_tf", *_ELSEWHERE, output_directory=pathlib.Path(target))


if __name__ == "__main__":
    main(sys.argv[1])
