"""The house of the packages: which room a line of code may import."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("waveunet_tf", "evaluate", "export", "benchmarks", "examples")
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
# What runs where there is neither TensorFlow nor Keras.
WITHOUT_TENSORFLOW = [
    "waveunet_tf",
    "waveunet_tf.__main__",
    "waveunet_tf.commands.separate",
    "waveunet_tf.commands.prepare",
    "waveunet_tf.separation.separator",
    "waveunet_tf.separation.songs",
    "waveunet_tf.separation.tflite_file",
    "export.arm64.stems",
    "export.serving.client",
    "export.serving.run_client",
    "export.serving.transports",
]


def modules() -> dict[str, pathlib.Path]:
    """Dotted name → file, of every module of the project but for its tests."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imports_of(name: str, *, late: bool) -> set[str]:
    """The modules that a module imports: the project's, and the names of packages.

    Args:
        name: the module.
        late: whether imports within functions count, too; those for type checkers
            only never do.
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
            assert not node.level, f"{name} imports by a relative name"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(whole & set(MODULES) or {node.module})
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    return found


def with_packages(name: str) -> set[str]:
    """A module, and the packages around it, which an import runs as well."""
    parts = name.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}


def room_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "waveunet_tf" and len(parts) > 1 else None


def test_the_rooms_are_those_of_the_list():
    folders = {path.parent.name for path in (ROOT / "waveunet_tf").glob("*/*")}
    assert folders - {"__pycache__"} == set(ROOMS)
    alone = {path.stem for path in (ROOT / "waveunet_tf").glob("*.py")}
    assert alone == {"__init__", "__main__", "errors"}


def test_a_room_imports_only_rooms_before_it():
    wrong = []
    for name in MODULES:
        room = room_of(name)
        if room not in ROOMS:
            continue
        for other in imports_of(name, late=True):
            theirs = room_of(other)
            if theirs not in ROOMS or theirs == room:
                continue
            upward = ROOMS.index(theirs) > ROOMS.index(room)
            if upward or (room, theirs) in STRANGERS:
                wrong.append(f"{name} imports {other}")
    assert not wrong


def test_packages_import_one_way():
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        for other in imports_of(name, late=True)
        if (theirs := other.split(".")[0]) in PACKAGES
        and theirs != (ours := name.split(".")[0])
        and theirs not in MAY_IMPORT[ours]
    ]
    assert not wrong


def test_no_module_imports_itself_by_way_of_others():
    graph = {name: imports_of(name, late=True) & set(MODULES) for name in MODULES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name] - {"waveunet_tf"}):
                visit(other, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_packages_are_empty_but_for_the_lazy_one():
    full = [name for name, path in MODULES.items() if path.name == "__init__.py"]
    full = [name for name in full if MODULES[name].read_text(encoding="utf-8")]
    assert full == ["waveunet_tf"]


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_what_must_do_without_tensorflow_imports_it_nowhere(name):
    path_to = {package: (package,) for package in with_packages(name)}
    waiting = list(path_to)
    while waiting:
        current = waiting.pop()
        if current not in MODULES:
            continue
        for other in imports_of(current, late=False):
            package = other.split(".")[0]
            chain = " → ".join((*path_to[current], other))
            assert package not in ("tensorflow", "keras", "tensorflow_io"), chain
            for module in with_packages(other):
                if module not in path_to:
                    path_to[module] = (*path_to[current], module)
                    waiting.append(module)
