"""Imports TensorFlow without its notes on stderr."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib.abc
import os
import re
import sys
import tempfile
from collections.abc import Iterator

from waveunet_tf.system import versions

# What TF_CPP_MIN_LOG_LEVEL=3 hides up to TensorFlow 2.20. Later ones write it all the
# same, because they are not yet asked when their libraries load.
_NOTE = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:|WARNING: All log messages before absl::InitializeLog|"
    rb"To enable the following instructions:"
)


def import_quietly() -> None:
    """Lets the coming first import of TensorFlow write no notes.

    With another TF_CPP_MIN_LOG_LEVEL than 3 in the environment nothing is hidden.
    """
    # Two finders would ask each other for ever.
    waits = any(isinstance(finder, _QuietFinder) for finder in sys.meta_path)
    # TensorFlow's notes on how this machine could be faster are no news to a user.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3" and not waits:
        sys.meta_path.insert(0, _QuietFinder())


class _QuietFinder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as the other finders do, but lets it load quietly, once.

    Some packages only ask whether it is installed, and do not load what is found.
    """

    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        others = [finder for finder in sys.meta_path[:] if finder is not self]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, specs), None)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_quietly(module):
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                with _without_notes():
                    load(module)

            spec.loader.exec_module = load_quietly
        return spec


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Holds stderr back, and then writes what is no note; after an error, all of it.

    Where versions do not fit together, the error says enough without the notes.

    A crash of the process leaves Python's traceback, from faulthandler.
    """
    notes = _NOTE
    with tempfile.TemporaryFile() as held, contextlib.ExitStack() as stack:
        stderr = os.dup(2)
        stack.callback(os.close, stderr)
        if not faulthandler.is_enabled():
            faulthandler.enable(stderr, all_threads=False)
            stack.callback(faulthandler.disable)
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception as error:
            if not versions.explain(error):
                notes = None
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            held.seek(0)
            for line in held:
                if not (notes and notes.match(line)):
                    os.write(2, line)
