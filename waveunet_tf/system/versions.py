"""Finds installed packages whose versions do not fit together."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import re
import sys
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from waveunet_tf.errors import InputError

_PROJECT = "waveunet-tf"
_SUFFIXES = "|".join(map(re.escape, importlib.machinery.all_suffixes()))
# A folder, or the file of a module, at the begin of a line of RECORD.
_TOP_LEVEL = re.compile(rf"^(\w+)(?:/|(?:{_SUFFIXES})(?:,|$))", re.MULTILINE)


def explain(error: Exception) -> str:
    """Names a likely cause of an error: versions in use that do not fit together.

    Args:
        error: Any error that was not foreseen.

    Returns:
        The versions, what to install and the error, in one line; empty if all fit.
    """
    packages = {name.partition(".")[0] for name in sys.modules}
    if isinstance(error, ImportError) and error.name:
        packages.add(error.name.partition(".")[0])
    lines = misfits(packages)
    if not lines:
        return ""
    return f"{lines[0]} ({' '.join(str(error).split()) or type(error).__name__})"


def misfits(packages: set[str]) -> list[str]:
    """Says which installed versions do not fit together, and what to install.

    Compares what this project, and what each of the packages requires with what is
    installed.

    Args:
        packages: Names that are imported; others are of no interest.
    """
    versions = {}
    for name in {_PROJECT, *_owners(packages)}:
        try:
            versions[canonicalize_name(name)] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from its folder
            continue
    lines = {}
    for owner in versions:
        for name, specifier in _requirements(owner):
            installed = versions.get(name)
            if installed and not specifier.contains(installed, prereleases=True):
                lines[
                    f"{name} {installed} does not fit {owner} {versions[owner]}: "
                    f"pip install '{name}{specifier}'"
                ] = None
    return sorted(lines)


def _owners(packages: set[str]) -> set[str]:
    """Finds the distributions that packages came with.

    As importlib.metadata.packages_distributions, which takes a third of a second to
    make a path of every file.
    """
    return {
        distribution.metadata["Name"]
        for distribution in importlib.metadata.distributions()
        if not packages.isdisjoint(_top_level(distribution))
    }


def _top_level(distribution: importlib.metadata.Distribution) -> list[str]:
    """Lists the packages and modules that a distribution says or seems to have."""
    declared = (distribution.read_text("top_level.txt") or "").split()
    if declared:
        return declared
    record = distribution.read_text("RECORD")
    if record is None:
        record = "\n".join(map(str, distribution.files or []))
    return _TOP_LEVEL.findall(record)


def _requirements(owner: str) -> Iterator[tuple[str, SpecifierSet]]:
    """Yields name and range of what a distribution requires here.

    Of this project the requirements of all extras count: whoever uses one has it.
    """
    extras = [""]
    if owner == _PROJECT:
        extras += importlib.metadata.metadata(owner).get_all("Provides-Extra") or []
    for line in importlib.metadata.requires(owner) or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        marker = requirement.marker
        if not marker or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield canonicalize_name(requirement.name), requirement.specifier


class RefuseMisfits(importlib.abc.MetaPathFinder):
    """Refuses to import TensorFlow where NumPy is one that it was not built for.

    To be put before other finders. Such an import does fail, but NumPy writes three
    hundred lines first.
    """

    def __init__(self):
        self._has_looked = False

    def find_spec(self, name, path, target=None):
        """Looks at the first import of TensorFlow or Keras, and finds nothing.

        Raises:
            InputError: Both are installed and do not fit.
        """
        # It stays in sys.meta_path: Python passes over the finder after one that goes.
        if name in ("tensorflow", "keras") and not self._has_looked:
            self._has_looked = True
            lines = misfits({"tensorflow", "numpy"})
            if lines:
                raise InputError(lines[0])
        return None
