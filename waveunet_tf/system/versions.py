"""Finds installed packages whose versions do not fit together."""

from __future__ import annotations

import importlib.abc
import importlib.metadata
import platform
import re
import sys

from waveunet_tf.errors import InputError

_PROJECT = "waveunet-tf"
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(?:\[[^]]*\])?\s*\(?(?P<specifier>[^;()]*)\)?\s*"
    r"(?:;(?P<marker>.*))?$"
)
_CLAUSE = re.compile(r"\s*(===|==|!=|~=|<=|>=|<|>)\s*([^\s,]+)\s*$")
_COMPARISON = re.compile(
    r"\(?\s*(\w+)\s*(==|!=|<=|>=|<|>)\s*['\"]([^'\"]*)['\"]\s*\)?$"
)


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
    installed. The `packaging` library would do so better, but is not installed
    everywhere.

    Args:
        packages: Names that are imported; others are of no interest.
    """
    owners = importlib.metadata.packages_distributions()
    names = {_PROJECT, *(owner for name in packages for owner in owners.get(name, []))}
    versions = {}
    for name in names:
        try:
            versions[_normal(name)] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from its folder
            continue
    lines = {}
    for owner in versions:
        for line in importlib.metadata.requires(owner) or []:
            name, specifier = _parse(line, ours=owner == _PROJECT)
            if name in versions and not is_within(versions[name], specifier):
                lines[
                    f"{name} {versions[name]} does not fit {owner} {versions[owner]}: "
                    f"pip install '{name}{specifier}'"
                ] = None
    return sorted(lines)


def is_within(version: str, specifier: str) -> bool:
    """Says whether a version lies in a range, by its numbers: 2.0rc1 counts as 2.0.1.

    Args:
        version: A version as installed.
        specifier: What pip takes, such as `>=1.26,<3`; empty for all versions.
    """
    for clause in filter(str.strip, specifier.split(",")):
        match = _CLAUSE.match(clause)
        if match and not _holds(version, match[1], match[2]):
            return False
    return True


class RefuseMisfits(importlib.abc.MetaPathFinder):
    """Refuses to import TensorFlow where NumPy is one that it was not built for.

    To be put before other finders. Such an import does fail, but NumPy writes three
    hundred lines first.
    """

    def find_spec(self, name, path, target=None):
        """Looks at the first import of TensorFlow or Keras, and finds nothing.

        Raises:
            InputError: Both are installed and do not fit.
        """
        if name in ("tensorflow", "keras"):
            sys.meta_path.remove(self)
            lines = misfits({"tensorflow", "numpy"})
            if lines:
                raise InputError(lines[0])
        return None


def _parse(line: str, *, ours: bool) -> tuple[str, str]:
    """Returns name and specifier of a requirement; empty if it does not apply here.

    Args:
        line: A line of `Requires-Dist`.
        ours: Whether requirements of extras count, too.
    """
    match = _REQUIREMENT.match(line)
    if not match:
        return "", ""
    for part in (match["marker"] or "").split(" and "):
        comparison = _COMPARISON.match(part.strip())
        if not part.strip() or (ours and part.strip().startswith("extra")):
            continue
        if not comparison or not _applies(*comparison.groups()):
            return "", ""
    return _normal(match["name"]), match["specifier"].strip()


def _applies(name: str, operator: str, value: str) -> bool:
    """Says whether a marker's comparison holds here; not if its name is unknown."""
    numbers = {
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "python_full_version": platform.python_version(),
    }
    words = {
        "sys_platform": sys.platform,
        "platform_system": platform.system(),
        "platform_machine": platform.machine(),
    }
    if name in numbers:
        return _holds(numbers[name], operator, value)
    return name in words and (words[name] == value) == (operator == "==")


def _holds(version: str, operator: str, bound: str) -> bool:
    """Says whether `version operator bound` is true."""
    if bound.endswith(".*"):
        wished = _numbers(bound[:-2])
        same = _numbers(version)[: len(wished)] == wished
        return same == (operator != "!=")
    if operator == "~=":
        prefix = bound.rpartition(".")[0]
        return _holds(version, ">=", bound) and _holds(version, "==", f"{prefix}.*")
    ours, theirs = _numbers(version), _numbers(bound)
    length = max(len(ours), len(theirs))
    ours += [0] * (length - len(ours))
    theirs += [0] * (length - len(theirs))
    return {
        "==": ours == theirs,
        "===": ours == theirs,
        "!=": ours != theirs,
        "<=": ours <= theirs,
        ">=": ours >= theirs,
        "<": ours < theirs,
        ">": ours > theirs,
    }[operator]


def _numbers(version: str) -> list[int]:
    """Returns a version's numbers: 2.16.2+cpu is 2, 16, 2."""
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
