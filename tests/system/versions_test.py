"""Installed versions against what packages require."""

import importlib
import importlib.machinery
import importlib.metadata
import platform
import sys

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.system import versions


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution with a module of its name before all others."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name, version, *requires, extras=(), record=None):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in requires]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        (folder / "METADATA").write_text("\n".join(lines) + "\n\n")
        if record is None:
            (folder / "top_level.txt").write_text(name.replace("-", "_"))
        else:
            (folder / "RECORD").write_text(record)
        return name

    return make


def test_a_version_outside_of_a_range_is_told_with_what_to_install(install):
    install("lower-one", "1.4")
    install("upper_one", "3.0", "lower_one[x] (>=2,<3) ; python_version >= '3.8'")
    assert versions.misfits({"upper_one", "lower_one"}) == [
        "lower-one 1.4 does not fit upper-one 3.0: pip install 'lower-one<3,>=2'"
    ]
    assert versions.misfits({"upper_one"}) == []  # the other is not in use


@pytest.mark.parametrize(
    "marker",
    [
        "python_version < '3.10'",
        "python_version >= '3.10' and sys_platform == 'beos'",
        "platform_system != '" + platform.system() + "'",
        "extra == 'more'",
        "os_name == 'java' or os_name == 'beos'",
    ],
)
def test_a_requirement_for_elsewhere_does_not_count(install, marker):
    install("lower-one", "1.4")
    install("upper-one", "3.0", f"lower-one>=2 ; {marker}")
    assert versions.misfits({"upper_one", "lower_one"}) == []


@pytest.mark.parametrize(
    ("path", "misfits"),
    [
        ("one_more/__init__.py", 1),
        ("one_more.py", 1),
        ("one_more" + importlib.machinery.EXTENSION_SUFFIXES[0], 1),
        ("one_more.libs/one_more.so", 0),
        ("one_more-1.0.dist-info/METADATA", 0),
        ("bin/one_more/x.py", 0),
    ],
)
def test_a_package_is_found_by_the_files_of_its_distribution(install, path, misfits):
    install("lower-one", "1.4")
    record = f"first/__init__.py,sha256=x,1\n{path},sha256=x,1\nlast.py,,\n"
    install("another-name", "1.0", "lower-one>=2", record=record)
    assert len(versions.misfits({"one_more", "lower_one"})) == misfits
    assert len(versions.misfits({"last", "lower_one"})) == 1


def test_a_line_that_is_no_requirement_is_passed_over(install):
    install("lower-one", "1.4")
    install("upper-one", "3.0", "no requirement at all", "lower-one (>=2)")
    assert len(versions.misfits({"upper_one", "lower_one"})) == 1


def test_our_own_requirements_count_with_those_of_extras(install):
    extra = "matplotlib>=3.9; extra == 'train'"
    install("waveunet-tf", "9", "numpy >=99", extra, extras=["train"])
    install("matplotlib", "3.1")
    (first, second) = versions.misfits({"numpy", "matplotlib"})
    assert first.startswith("matplotlib 3.1 does not fit waveunet-tf 9: pip install")
    assert second.startswith("numpy ")


def test_the_packages_that_the_tests_run_with_fit_together():
    importlib.metadata.version("waveunet-tf")
    assert versions.misfits({"tensorflow", "keras", "numpy", "google", "av"}) == []


def test_numpy_of_another_abi_is_refused_before_tensorflow_writes_about_it(install):
    install("numpy", "2.3.5")
    install("tensorflow", "2.16.2", "numpy <2.0.0,>=1.23.5")
    finder = versions.RefuseMisfits()
    assert finder.find_spec("numpy", None) is None
    with pytest.raises(InputError, match="numpy 2.3.5 does not fit tensorflow 2.16"):
        finder.find_spec("keras", None)
    assert finder.find_spec("keras", None) is None  # it looks once


def test_no_other_finder_is_passed_over_while_it_looks(install, monkeypatch):
    """As would be the one that lets TensorFlow be imported without its notes."""

    class Next:
        asked = []

        def find_spec(self, name, path, target=None):
            self.asked.append(name)

    install("tensorflow", "2.16.2")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(sys, "meta_path", [versions.RefuseMisfits(), Next()])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("tensorflow")
    assert Next.asked == ["tensorflow"]
