"""The rules of the house: what a line of code may import, and what files are called.

Each rule is a function of a House; it returns a line for each breach.
"""

from __future__ import annotations

import ast
import collections
import pathlib
import re
from collections.abc import Callable, Iterator

PACKAGES = ("waveunet_tf", "evaluate", "export", "benchmarks", "examples")
# Top-level folders that are imported as parts of waveunet_tf (pyproject.toml).
PARTS = ("evaluate", "export")
# The rooms of waveunet_tf: each imports only those before it.
ROOMS = (
    "system",
    "configs",
    "audio",
    "networks",
    "data",
    "checkpoints",
    "training",
    "separation",
    "checkup",
    "commands",
    "pretrained",
)
# Rooms that do not know each other although one stands before the other.
STRANGERS = {("separation", "training")}
# What the top-level packages import of each other.
MAY_IMPORT = {
    "waveunet_tf": set(),
    "evaluate": {"waveunet_tf"},
    "export": {"waveunet_tf", "evaluate"},
    "examples": {"waveunet_tf", "evaluate", "export"},
    "benchmarks": {"waveunet_tf", "evaluate", "export", "examples"},
}
# Modules of waveunet_tf that stand in no room.
IN_NO_ROOM = {"__init__", "__main__", "errors"}
LONGEST_WITHOUT_DOCSTRING = 50


class House:
    """The source files below a root.

    Attributes:
        root: The folder of the packages and of their tests.
        modules: Dotted name → file, of every module of PACKAGES.
    """

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.modules: dict[str, pathlib.Path] = {}
        for package in PACKAGES:
            for path in sorted((root / package).rglob("*.py")):
                parts = path.relative_to(root).with_suffix("").parts
                if "node_modules" in parts:  # others' packages, which npm puts there
                    continue
                if package in PARTS:
                    parts = ("waveunet_tf", *parts)
                name = ".".join(part for part in parts if part != "__init__")
                self.modules[name] = path
        self._trees: dict[str, ast.Module] = {}

    def tree(self, name: str) -> ast.Module:
        """Parses a module, once."""
        if name not in self._trees:
            text = self.modules[name].read_text(encoding="utf-8")
            self._trees[name] = ast.parse(text)
        return self._trees[name]

    def imports_of(self, name: str, *, late: bool) -> set[str]:
        """Returns the modules that a module imports: ours, and others' packages.

        Args:
            name: The module.
            late: Whether imports within functions count, too; imports for type
                checkers never count.
        """
        found = set()

        def walk(node: ast.AST) -> None:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                return
            if isinstance(node, (ast.FunctionDef, ast.Lambda)) and not late:
                return
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                if node.level:
                    package = name.split(".")
                    if self.modules[name].name != "__init__.py":
                        package.pop()
                    package = package[: len(package) - node.level + 1]
                    module = ".".join([*package, *filter(None, [node.module])])
                whole = {f"{module}.{alias.name}" for alias in node.names}
                found.update(whole & set(self.modules) or {module})
            for child in ast.iter_child_nodes(node):
                walk(child)

        walk(self.tree(name))
        return found

    def is_command(self, name: str) -> bool:
        """Whether a module is a command, or reads flags or arguments for commands."""
        last = name.rpartition(".")[2]
        return (
            name.startswith(("waveunet_tf.commands.", "benchmarks.", "examples."))
            or last == "__main__"
            or last.startswith("run_")
            or last.endswith(("_flags", "_arguments"))
        )


def package_of(name: str) -> str:
    """Returns the top-level folder of a module."""
    first, _, rest = name.partition(".")
    second = rest.partition(".")[0]
    return second if first == "waveunet_tf" and second in PARTS else first


def room_of(name: str) -> str | None:
    """Returns the room of a module of waveunet_tf."""
    parts = name.split(".")
    room = parts[1] if parts[0] == "waveunet_tf" and len(parts) > 1 else None
    return room if room in ROOMS else None


def unknown_rooms(house: House) -> list[str]:
    """Every module of waveunet_tf stands in one of ROOMS."""
    breaches = []
    for name, path in house.modules.items():
        if package_of(name) == "waveunet_tf" and room_of(name) is None:
            if path.stem not in IN_NO_ROOM or name.count(".") > 1:
                breaches.append(f"{name} stands in no room of the list")
    return breaches


def upward_imports(house: House) -> list[str]:
    """A room imports only rooms before it."""
    breaches = []
    for name in house.modules:
        room = room_of(name)
        for other in sorted(house.imports_of(name, late=True)):
            theirs = room_of(other)
            if room is None or theirs is None or theirs == room:
                continue
            upward = ROOMS.index(theirs) > ROOMS.index(room)
            if upward or (room, theirs) in STRANGERS:
                breaches.append(f"{name} imports {other}")
    return breaches


def wrong_packages(house: House) -> list[str]:
    """Packages import one way."""
    return [
        f"{name} imports {other}"
        for name in house.modules
        for other in sorted(house.imports_of(name, late=True))
        if (theirs := package_of(other)) in PACKAGES
        and theirs != (ours := package_of(name))
        and theirs not in MAY_IMPORT[ours]
    ]


def relative_imports(house: House) -> list[str]:
    """A module is imported by its whole name."""
    return [
        f"{name} imports by a relative name, line {node.lineno}"
        for name in house.modules
        for node in ast.walk(house.tree(name))
        if isinstance(node, ast.ImportFrom) and node.level
    ]


def circles(house: House) -> list[str]:
    """No module imports itself by way of others."""
    graph = {
        name: house.imports_of(name, late=True) & set(house.modules) - {"waveunet_tf"}
        for name in house.modules
    }
    done: set[str] = set()
    breaches = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            breaches.append(" → ".join((*path[path.index(name) :], name)))
        elif name not in done:
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    return breaches


def full_packages(house: House) -> list[str]:
    """A package's `__init__` is empty, but for the lazy one of waveunet_tf."""
    return [
        f"{name}/__init__.py is not empty"
        for name, path in house.modules.items()
        if path.name == "__init__.py"
        and name != "waveunet_tf"
        and path.read_text(encoding="utf-8").strip()
    ]


def paths_to(house: House, name: str, packages: set[str]) -> list[str]:
    """A module imports none of some packages when it is imported itself.

    Args:
        house: The house.
        name: The module.
        packages: The packages that it must do without.
    """
    paths = paths_from(house, name, late_in=lambda module: False)
    return [
        " → ".join(path) for module, path in sorted(paths.items()) if module in packages
    ]


def paths_from(
    house: House, name: str, *, late_in: Callable[[str], bool]
) -> dict[str, tuple[str, ...]]:
    """Returns what is imported by a module, by those that it imports, and so on.

    Args:
        house: The house.
        name: The module.
        late_in: Whether imports within the functions of a module count, too.

    Returns:
        Each module of ours, and each other package without what is in it → the modules
        on the way to it, and itself.
    """
    path_to = {package: (package,) for package in _with_packages(name)}
    waiting = list(path_to)
    while waiting:
        current = waiting.pop()
        if current not in house.modules:
            continue
        for other in sorted(house.imports_of(current, late=late_in(current))):
            is_ours = package_of(other) in PACKAGES
            for module in _with_packages(other) if is_ours else [other.split(".")[0]]:
                if module not in path_to:
                    path_to[module] = (*path_to[current], module)
                    waiting.append(module)
    return path_to


def _with_packages(name: str) -> list[str]:
    """Returns a module and the packages around it, which an import runs as well."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def flags_in_libraries(house: House) -> list[str]:
    """Only commands know flags and errors of usage."""
    breaches = []
    for name in house.modules:
        if house.is_command(name):
            continue
        for other in house.imports_of(name, late=True):
            if other in ("absl.flags", "waveunet_tf.commands.app"):
                breaches.append(f"{name} imports {other}")
        for node in ast.walk(house.tree(name)):
            if isinstance(node, ast.ImportFrom) and node.module == "absl":
                if any(alias.name == "flags" for alias in node.names):
                    breaches.append(f"{name} imports absl.flags")
    return breaches


def shared_file_names(house: House) -> list[str]:
    """No two files have one name."""
    by_name = collections.defaultdict(list)
    for name, path in house.modules.items():
        if path.stem not in ("__init__", "__main__"):
            by_name[path.stem].append(name)
    return [" and ".join(names) for names in by_name.values() if len(names) > 1]


def shared_names(house: House) -> list[str]:
    """No two modules have a public function or class of one name."""
    by_name = collections.defaultdict(list)
    for name in house.modules:
        for node in house.tree(name).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                if not node.name.startswith("_") and node.name != "main":
                    by_name[node.name].append(name)
    return [
        f"{name}: {' and '.join(modules)}"
        for name, modules in sorted(by_name.items())
        if len(modules) > 1
    ]


def questions_of_class(house: House) -> list[str]:
    """A config is asked what it can, not which class it is of or which field it has."""
    question = re.compile(
        r"\bisinstance\((\w+\.)*_?config\b|\b(get|has)attr\((\w+\.)*_?config, [\"']"
    )
    return [
        f"{name}, line {number}: {line.strip()}"
        for name, path in house.modules.items()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if question.search(line)
    ]


def long_functions(house: House) -> list[str]:
    """A long function has a docstring."""
    return [
        f"{name}.{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for name in house.modules
        for node in ast.walk(house.tree(name))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno - node.lineno + 1 > LONGEST_WITHOUT_DOCSTRING
        and not ast.get_docstring(node)
    ]


def missing_tests(house: House) -> list[str]:
    """Every module that is no command has a file of tests of its name."""
    return [
        str(test.relative_to(house.root))
        for name, test in _mirrors(house)
        if not test.is_file()
    ]


def _mirrors(house: House) -> Iterator[tuple[str, pathlib.Path]]:
    for name, path in house.modules.items():
        ours = ("waveunet_tf", "evaluate", "export")
        if package_of(name) not in ours or path.name == "__init__.py":
            continue
        last = name.rpartition(".")[2]
        is_command = last == "__main__" or last.startswith("run_")
        if is_command or name.startswith("waveunet_tf.commands."):
            continue
        folder = path.relative_to(house.root).parent
        if folder.parts[0] == "waveunet_tf":
            folder = folder.relative_to("waveunet_tf")
        yield name, house.root / "tests" / folder / f"{path.stem}_test.py"


RULES: list[Callable[[House], list[str]]] = [
    unknown_rooms,
    upward_imports,
    wrong_packages,
    relative_imports,
    circles,
    full_packages,
    flags_in_libraries,
    shared_file_names,
    shared_names,
    questions_of_class,
    long_functions,
    missing_tests,
]
