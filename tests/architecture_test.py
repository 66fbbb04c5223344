"""The house keeps its rules, and each rule can fail."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests import architecture
from tests.architecture import House

# The house is read once.
pytestmark = pytest.mark.xdist_group("architecture")

ROOT = pathlib.Path(__file__).parents[1]
TENSORFLOW = {"tensorflow", "keras", "tensorflow_io"}
# What runs where there is neither TensorFlow nor Keras.
WITHOUT_TENSORFLOW = [
    "waveunet_tf",
    "waveunet_tf.__main__",
    "waveunet_tf.separation.litert",
    "waveunet_tf.separation.separator",
    "waveunet_tf.separation.songs",
    "waveunet_tf.separation.tflite_file",
    "waveunet_tf.export.arm64.stems",
    "waveunet_tf.export.kinds",
    "waveunet_tf.export.serving.client",
    "waveunet_tf.export.serving.run_client",
    "waveunet_tf.export.serving.transports",
]


@pytest.fixture(scope="module")
def house():
    return House(ROOT)


@pytest.mark.parametrize("rule", architecture.RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(house, rule):
    assert rule(house) == []


def test_every_room_of_the_list_is_there(house):
    folders = {path.parent.name for path in (ROOT / "waveunet_tf").glob("*/*")}
    assert folders - {"__pycache__"} == set(architecture.ROOMS)
    assert {architecture.package_of(name) for name in house.modules} == {
        *architecture.PACKAGES
    }


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_what_must_do_without_tensorflow_imports_it_nowhere(house, name):
    assert name in house.modules
    assert architecture.paths_to(house, name, TENSORFLOW) == []


def test_no_command_imports_tensorflow_before_it_has_read_its_flags(house):
    """So that help and refusals come at once."""
    commands = [
        name
        for name in house.modules
        if name.startswith("waveunet_tf.commands.")
        or name.startswith(("waveunet_tf.evaluate.", "waveunet_tf.export."))
        and name.rpartition(".")[2].startswith("run_")
    ]
    assert len(commands) > 15
    for name in commands:
        assert architecture.paths_to(house, name, TENSORFLOW) == []


def made(root, texts):
    """A house of files: path without its suffix → text."""
    for name, text in texts.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return House(root)


LONG = "def work():\n" + "    pass\n" * 60


@pytest.mark.parametrize(
    ("rule", "texts", "breach"),
    [
        ("unknown_rooms", {"waveunet_tf/attic/box": ""}, "waveunet_tf.attic.box"),
        ("unknown_rooms", {"waveunet_tf/stray": ""}, "waveunet_tf.stray"),
        (
            "upward_imports",
            {
                "waveunet_tf/audio/io": "def f():\n  from waveunet_tf.data import x",
                "waveunet_tf/data/x": "",
            },
            "waveunet_tf.audio.io imports waveunet_tf.data.x",
        ),
        (
            "upward_imports",
            {
                "waveunet_tf/separation/a": "import waveunet_tf.training.b",
                "waveunet_tf/training/b": "",
            },
            "waveunet_tf.separation.a imports waveunet_tf.training.b",
        ),
        (
            "upward_imports",
            {
                "waveunet_tf/audio/io": "from ..data import x",
                "waveunet_tf/data/x": "",
            },
            "waveunet_tf.audio.io imports waveunet_tf.data.x",
        ),
        (
            "wrong_packages",
            {"evaluate/a": "from waveunet_tf.export import b", "export/b": ""},
            "waveunet_tf.evaluate.a imports waveunet_tf.export.b",
        ),
        (
            "wrong_packages",
            {"waveunet_tf/audio/io": "import waveunet_tf.evaluate.a", "evaluate/a": ""},
            "waveunet_tf.audio.io imports waveunet_tf.evaluate.a",
        ),
        (
            "relative_imports",
            {"export/a": "\nfrom . import b"},
            "waveunet_tf.export.a.*line 2",
        ),
        (
            "circles",
            {
                "export/a": "from waveunet_tf.export import b",
                "export/b": "def f():\n    from waveunet_tf.export.c import x",
                "export/c": "import waveunet_tf.export.a",
            },
            " → ".join(f"waveunet_tf.export.{name}" for name in "abca"),
        ),
        ("full_packages", {"export/__init__": "x = 1"}, "export/__init__.py"),
        (
            "flags_in_libraries",
            {"export/a": "from absl import flags, logging"},
            "waveunet_tf.export.a imports absl.flags",
        ),
        (
            "flags_in_libraries",
            {"evaluate/a": "from waveunet_tf.commands.app import UsageError"}
            | {"waveunet_tf/commands/app": ""},
            "waveunet_tf.evaluate.a imports waveunet_tf.commands.app",
        ),
        (
            "shared_file_names",
            {"export/a": "", "evaluate/b/a": ""},
            "waveunet_tf.evaluate.b.a",
        ),
        (
            "shared_names",
            {"export/a": "def work(): pass", "evaluate/b": "class work: pass"},
            "work: waveunet_tf.evaluate.b and waveunet_tf.export.a",
        ),
        (
            "questions_of_class",
            {"export/a": "if isinstance(self._config, X): pass"},
            "waveunet_tf.export.a, line 1",
        ),
        (
            "questions_of_class",
            {"export/a": "\nx = getattr(config, 'y', 0)"},
            "waveunet_tf.export.a, line 2",
        ),
        (
            "long_functions",
            {"export/a": LONG},
            "waveunet_tf.export.a.work has 61 lines",
        ),
        ("missing_tests", {"export/b/a": ""}, "tests/export/b/a_test.py"),
        ("missing_tests", {"waveunet_tf/audio/io": ""}, "tests/audio/io_test.py"),
    ],
)
def test_a_rule_sees_its_breach(tmp_path, rule, texts, breach):
    breaches = getattr(architecture, rule)(made(tmp_path, texts))
    assert len(breaches) == 1
    assert re.search(breach, breaches[0])


@pytest.mark.parametrize(
    ("rule", "texts"),
    [
        ("unknown_rooms", {"waveunet_tf/errors": "", "waveunet_tf/audio/io": ""}),
        (
            "upward_imports",
            {
                "waveunet_tf/audio/io": "from typing import TYPE_CHECKING\n"
                "if TYPE_CHECKING:\n    import waveunet_tf.data.x",
                "waveunet_tf/data/x": "from waveunet_tf.audio import io",
            },
        ),
        (
            "wrong_packages",
            {"export/a": "import waveunet_tf.evaluate.b", "evaluate/b": ""},
        ),
        ("full_packages", {"waveunet_tf/__init__": "x = 1", "export/__init__": ""}),
        ("flags_in_libraries", {"export/run_a": "from absl import flags"}),
        ("flags_in_libraries", {"export/a": "from absl import logging"}),
        ("shared_file_names", {"export/__init__": "", "evaluate/__init__": ""}),
        ("shared_names", {"export/a": "def main(): _f()", "export/b": "main = 1"}),
        ("shared_names", {"export/a": "def _f(): 0", "export/b": "def _f(): 0"}),
        ("questions_of_class", {"export/a": "isinstance(layer, Conv1D)"}),
        ("long_functions", {"export/a": LONG.replace("pass", '"""Works."""', 1)}),
        ("missing_tests", {"export/run_a": "", "waveunet_tf/commands/train": ""}),
        ("missing_tests", {"export/a": "", "tests/export/a_test": ""}),
    ],
)
def test_a_rule_lets_pass_what_is_right(tmp_path, rule, texts):
    assert getattr(architecture, rule)(made(tmp_path, texts)) == []


def test_a_path_to_tensorflow_goes_through_packages_and_their_init(tmp_path):
    house = made(
        tmp_path,
        {
            "export/__init__": "",
            "export/client": "from waveunet_tf.evaluate.rooms import a",
            "evaluate/rooms/__init__": "import keras",
            "evaluate/rooms/a": "def f():\n    import tensorflow",
        },
    )
    (path,) = architecture.paths_to(house, "waveunet_tf.export.client", TENSORFLOW)
    assert path == "waveunet_tf.export.client → waveunet_tf.evaluate.rooms → keras"
    assert architecture.paths_to(house, "waveunet_tf.export", TENSORFLOW) == []


def test_a_late_import_of_tensorflow_is_none(tmp_path):
    house = made(tmp_path, {"export/a": "def f():\n    import tensorflow as tf"})
    assert architecture.paths_to(house, "waveunet_tf.export.a", TENSORFLOW) == []
